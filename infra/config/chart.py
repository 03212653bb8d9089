"""Where a Helm chart comes from: a repository, an OCI registry, or a local path."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart as configured."""

    chart: str
    """Name in the repository, `oci://` reference, or a path that begins with `.`, `/` or `~`."""
    version: str
    repository: str

    @property
    def is_local(self) -> bool:
        """Whether the chart lies on this machine."""
        return self.chart.startswith((".", "/", "~"))

    def path(self, root: Path) -> Path:
        """Where a local chart lies; a relative path counts from the project's root."""
        return (root / Path(self.chart).expanduser()).resolve()

    def release_source(self, root: Path) -> dict[str, Any]:
        """Arguments of a Helm Release that say where the chart comes from.

        A relative path stays relative, to the folder that the program runs in: an absolute one would
        differ between two machines that share a stack.
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
