"""Compares versions, and KubeRay's CRDs by their version or their fields."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.preflight.cluster_state import KubernetesObject

NUMBERS: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, kw_only=True)
class Product:
    """A product whose CRDs the stack can install, for all users of the cluster."""

    name: str
    annotation: str
    """Annotation of a CRD that this project applied: the version of the chart that it comes from."""
    objects: str
    """What other users of the cluster create with the CRDs."""
    alternative: str
    """How a stack does without its own CRDs."""
    version_key: str
    """Key of the configuration for the version of the chart."""


KUBERAY: Final = Product(
    name="KubeRay",
    annotation="manta/kuberay-version",
    objects="Ray clusters",
    alternative="Use the CRDs in the cluster: pulumi config set installCrds false",
    version_key="kuberayChartVersion",
)
PROMETHEUS: Final = Product(
    name="kube-prometheus-stack",
    annotation="manta/kube-prometheus-stack-version",
    objects="Prometheus servers and monitors",
    alternative="Use the Prometheus of the cluster: pulumi config set monitoring existing",
    version_key="monitoringChartVersion",
)


def parse(text: str) -> tuple[int, ...] | None:
    """Numbers of a version such as `v1.34.4-gke.100`, or None."""
    match = NUMBERS.search(text)
    return tuple(int(part or 0) for part in match.groups()) if match else None


def operator_version(operator: KubernetesObject) -> str:
    """Tag of the image of an operator's Deployment."""
    image = str(operator["spec"]["template"]["spec"]["containers"][0]["image"])
    return image.partition("@")[0].rpartition(":")[2]


def newer_crd(
    installed: KubernetesObject,
    spec: Mapping[str, Any],
    *,
    product: Product,
    version: str,
    operators: Sequence[KubernetesObject] = (),
) -> str:
    """Say which version the CRD in the cluster has if it is newer than the chart's, else return an empty text.

    A CRD names no version of its product by itself. The annotation of this project decides; then the version of an
    operator in the cluster; then the fields: a CRD with fields that the chart lacks is newer.

    Args:
        installed: The CRD in the cluster.
        spec: The chart's spec of the same CRD.
        product: The product of the CRD.
        version: Version of the chart.
        operators: Deployments of operators of the product in the cluster.
    """
    chart = parse(version)
    annotated = (installed["metadata"].get("annotations") or {}).get(product.annotation, "")
    known = [annotated] if annotated else [operator_version(operator) for operator in operators]
    numbers = [parsed for parsed in map(parse, known) if parsed is not None]
    if chart is not None and numbers:
        newest = max(numbers)
        return ".".join(map(str, newest)) if newest > chart else ""
    more = sorted(set(_fields(installed["spec"])) - set(_fields(spec)))
    return f"a version with the field {more[0]}" if more else ""


def _fields(spec: Mapping[str, Any]) -> Iterator[str]:
    """Path of each field of a CRD's schema."""
    for version in spec.get("versions", []):
        schema = (version.get("schema") or {}).get("openAPIV3Schema", {})
        yield from _properties(schema, f"{version['name']}:")


def _properties(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _properties(inner, f"{path}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from _properties(schema["items"], f"{path}[]")
