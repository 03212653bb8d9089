"""The CRDs in a Helm chart, which comes from a repository, an OCI registry or a local path."""

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pulumi
import yaml

from infra.config.chart import Chart


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML as Helm does: `=` is a text. KubeRay's CRDs are 4 MB, which the loader in C reads in a second."""


Loader.add_constructor("tag:yaml.org,2002:value", yaml.constructor.SafeConstructor.construct_yaml_str)


class ChartError(pulumi.RunError):
    """A chart cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Crd:
    """One custom resource definition of a chart."""

    name: str
    annotations: Mapping[str, str]
    spec: Any
    """YAML as the chart spells it: no class of pulumi_kubernetes describes a parsed document."""


def crds(chart: Chart, *, root: Path, opts: pulumi.InvokeOptions) -> list[Crd]:
    """Read the custom resource definitions in `crds/` of a chart and of its subcharts.

    Helm installs them once and never upgrades them.

    A local chart is read from the disk. Pulumi's Kubernetes provider pulls every other chart: the provider contains
    Helm, so this machine needs no `helm` command.

    Raises:
        ChartError: The chart does not exist, or contains no CRDs.
    """
    documents = _read_local(chart, root) if chart.is_local else _pull(chart, opts)
    definitions = [
        Crd(
            name=str(document["metadata"]["name"]),
            annotations=document["metadata"].get("annotations", {}),
            spec=document["spec"],
        )
        for document in documents
        if isinstance(document, dict) and document.get("kind") == "CustomResourceDefinition"
    ]
    if not definitions:
        raise ChartError(
            f"The chart {chart.chart!r} contains no CRDs, so it installs no operator. "
            f"Set the operator's chart with: pulumi config set {chart.key} PATH_OR_NAME"
        )
    return sorted(definitions, key=lambda crd: crd.name)


def version(chart: Chart, *, root: Path) -> str:
    """Version of a chart. A local chart names it in `Chart.yaml`; without this file the version is empty."""
    if not chart.is_local:
        return chart.version
    path = chart.path(root)
    if path.is_dir():
        file = path / "Chart.yaml"
        text = file.read_bytes() if file.is_file() else b""
    else:
        with tarfile.open(path) as archive:
            member = next((member for member in archive.getmembers() if member.name.endswith("/Chart.yaml")), None)
            content = archive.extractfile(member) if member is not None else None
            text = content.read() if content is not None else b""
    return str((yaml.safe_load(text) or {}).get("version", ""))


def _is_crd_file(path: PurePath) -> bool:
    """Whether a file lies in the folder `crds` of a chart. A subchart of this name lies in `charts`."""
    return path.suffix in {".yaml", ".yml"} and path.parent.name == "crds" and path.parent.parent.name != "charts"


def _read_local(chart: Chart, root: Path) -> Iterator[object]:
    path = chart.path(root)
    if path.is_dir():
        for file in sorted(file for file in path.rglob("crds/*") if _is_crd_file(file)):
            yield from yaml.load_all(file.read_text(encoding="utf-8"), Loader=Loader)
    elif path.is_file():
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                content = archive.extractfile(member) if _is_crd_file(PurePath(member.name)) else None
                if content is not None:
                    yield from yaml.load_all(content.read(), Loader=Loader)
    else:
        raise ChartError(
            f"No chart exists at {path}. Download it to this path with `helm pull --untar`, "
            f"or use the public chart: pulumi config rm {chart.key}"
        )


def _pull(chart: Chart, opts: pulumi.InvokeOptions) -> Iterator[object]:
    """Render a remote chart: the provider can only return the rendered objects of a chart, not its files."""
    options: dict[str, object] = {"chart": chart.chart, "version": chart.version, "release_name": "crds"}
    if not chart.chart.startswith("oci://"):
        options["fetch_opts"] = {"repo": chart.repository}
    result = pulumi.runtime.invoke("kubernetes:helm:template", {"jsonOpts": json.dumps(options)}, opts)
    yield from (result.value or {}).get("result", [])
