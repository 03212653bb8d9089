"""Helm charts by name, OCI reference or local path: what a Release is told, and the CRDs within."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pulumi
import yaml

from infra.config.chart import Chart

LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""KubeRay's CRDs are 4 MB of YAML; the loader in C reads them in a second."""


class ChartError(pulumi.RunError):
    """A chart cannot be read."""


def crds(chart: Chart, *, root: Path, opts: pulumi.InvokeOptions) -> list[dict[str, Any]]:
    """Read the custom resource definitions in a chart's `crds/`, which Helm installs once and never upgrades.

    A local chart is read from the disk. Any other is pulled by Pulumi's Kubernetes provider, which brings
    Helm along, so that no further program is needed.

    Raises:
        ChartError: There is no such chart, or it holds no CRDs.
    """
    documents = _local(chart.path(root)) if chart.is_local else _pulled(chart, opts)
    found = [d for d in documents if isinstance(d, dict) and d.get("kind") == "CustomResourceDefinition"]
    if not found:
        raise ChartError(
            f"The chart {chart.chart!r} holds no CRDs: it is no chart of the KubeRay operator. "
            "Name one that is with: pulumi config set kuberayChart PATH_OR_NAME"
        )
    return sorted(found, key=lambda crd: str(crd["metadata"]["name"]))


def _local(path: Path) -> Iterator[object]:
    if path.is_dir():
        for file in sorted((path / "crds").glob("*.y*ml")):
            yield from yaml.load_all(file.read_text(encoding="utf-8"), Loader=LOADER)
    elif path.is_file():
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                opened = archive.extractfile(member) if "/crds/" in member.name else None
                if opened is not None:
                    yield from yaml.load_all(opened.read(), Loader=LOADER)
    else:
        raise ChartError(
            f"There is no chart at {path}. Put it there with `helm pull kuberay-operator --untar`, "
            "or use the public one: pulumi config rm kuberayChart"
        )


def _pulled(chart: Chart, opts: pulumi.InvokeOptions) -> Iterator[object]:
    """Render the chart, since the provider's only answer to a chart is what it renders."""
    wanted: dict[str, Any] = {"chart": chart.chart, "version": chart.version, "release_name": "crds"}
    if not chart.chart.startswith("oci://"):
        wanted["fetch_opts"] = {"repo": chart.repository}
    answer = pulumi.runtime.invoke("kubernetes:helm:template", {"jsonOpts": json.dumps(wanted)}, opts)
    yield from (answer.value or {}).get("result", [])
