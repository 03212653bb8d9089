"""KubeRay's custom resource definitions (CRDs), and a validator with a stricter schema."""

import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from infra import versions
from infra.charts import Loader
from tests.support.json_object import JsonObject

RAY_SERVICES: Final = "ray.io_rayservices.yaml"
BESIDE_THE_PROJECT: Final = Path(__file__).parents[3] / "shared" / "crds"


def read(variables: dict[str, str], *, beside: Path = BESIDE_THE_PROJECT) -> dict[str, str]:
    """Read the CRDs from the first place that has them; empty if no place has them.

    The places: the folder `KUBERAY_CRDS`; the KubeRay chart in the folder `MANTA_E2E_CHARTS`, unpacked or as the
    archive that `helm pull` writes; `beside`.
    """
    tools = variables.get("MANTA_E2E_TOOLS", "~/.cache/manta-tools")
    charts = Path(variables.get("MANTA_E2E_CHARTS") or f"{tools}/charts").expanduser()
    places = [
        *([Path(variables["KUBERAY_CRDS"])] if variables.get("KUBERAY_CRDS") else []),
        charts / versions.KUBERAY_CHART / "crds",
        charts / f"{versions.KUBERAY_CHART}-{versions.KUBERAY_CHART_VERSION}.tgz",
        beside,
    ]
    contents = (_in_archive(place) if place.is_file() else _in_folder(place) for place in places)
    return next((texts for texts in contents if RAY_SERVICES in texts), {})


@cache
def files() -> dict[str, str]:
    """YAML of each CRD, by file name; empty if this machine does not have them."""
    return read(dict(os.environ))


@cache
def ray_service_validator() -> Draft202012Validator:
    """Validator of a RayService that, unlike the API server, refuses fields that the schema does not know."""
    versions_of_crd = yaml.load(files()[RAY_SERVICES], Loader=Loader)["spec"]["versions"]  # noqa: S506  (a safe loader)
    schema = next(version for version in versions_of_crd if version["name"] == "v1")["schema"]["openAPIV3Schema"]
    return Draft202012Validator(_strict(schema))


def problems(instance: JsonObject) -> list[str]:
    """Violations of the schema by a RayService."""
    return [f"{error.json_path}: {error.message}" for error in ray_service_validator().iter_errors(instance)]


def _in_folder(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.glob("ray.io_*.yaml"))}


def _in_archive(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as chart:
        members = {Path(member.name).name: member for member in chart.getmembers() if "/crds/ray.io_" in member.name}
        files_by_name = {name: chart.extractfile(member) for name, member in sorted(members.items())}
        return {name: file.read().decode() for name, file in files_by_name.items() if file is not None}


def _strict(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(schema, list):
        return [_strict(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(inner) for key, inner in schema.items() if key != "x-kubernetes-validations"}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        strict["additionalProperties"] = False
    return strict


needed = pytest.mark.skipif(
    not files(), reason="no CRDs of KubeRay: set MANTA_E2E_CHARTS or KUBERAY_CRDS (CONTRIBUTING.md says to what)"
)
"""Marks a test that validates against the CRDs."""
