"""Where a Helm chart comes from: a repository, an OCI registry, or a local path."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from pulumi_kubernetes.helm.v3 import RepositoryOptsArgsDict


class ReleaseSource(TypedDict):
    """Arguments of a Helm Release that name its chart."""

    chart: str
    version: NotRequired[str]
    repository_opts: NotRequired[RepositoryOptsArgsDict]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart, and where it comes from."""

    chart: str
    """A name in the repository, an `oci://` reference, or a path that begins with `.`, `/` or `~`."""
    version: str
    repository: str
    key: str
    """Key of the configuration that names the chart."""

    @property
    def is_local(self) -> bool:
        """Whether `chart` is a path."""
        return self.chart.startswith((".", "/", "~"))

    def path(self, root: Path) -> Path:
        """Absolute path of a local chart. A relative path starts at `root`, the root of the project."""
        return (root / Path(self.chart).expanduser()).resolve()

    def release_source(self, root: Path) -> ReleaseSource:
        """Arguments of a Helm Release that name the chart.

        A relative path stays relative to the working directory of the program. An absolute path would differ between
        two machines that share a stack, and Pulumi would see a change.
        """
        if self.is_local:
            relative = not Path(self.chart).expanduser().is_absolute()
            path = self.path(root)
            return {"chart": os.path.relpath(path) if relative else str(path)}
        if self.chart.startswith("oci://"):
            return {"chart": self.chart, "version": self.version}
        return {
            "chart": self.chart,
            "version": self.version,
            "repository_opts": {"repo": self.repository},
        }
