"""KubeRay's custom resource definitions, where they are at hand, and their schema made strict."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from infra.charts import LOADER

PLACES = (os.environ.get("KUBERAY_CRDS", ""), str(Path(__file__).parents[3] / "shared" / "crds"))


def folder() -> Path:
    """Folder of the CRDs; a test without them is skipped with the reason."""
    for place in PLACES:
        if place and (Path(place) / "ray.io_rayservices.yaml").is_file():
            return Path(place)
    pytest.skip("KubeRay's CRDs are not at hand: set KUBERAY_CRDS to the crds folder of its chart")


@cache
def ray_service_validator() -> Draft202012Validator:
    """Judge of a RayService that, unlike the API server, refuses fields that the schema does not know."""
    text = (folder() / "ray.io_rayservices.yaml").read_text()
    versions = yaml.load(text, Loader=LOADER)["spec"]["versions"]  # noqa: S506  (a safe loader)
    schema = next(v for v in versions if v["name"] == "v1")["schema"]["openAPIV3Schema"]
    return Draft202012Validator(_strict(schema))


def problems(instance: dict[str, Any]) -> list[str]:
    """What is wrong with a RayService."""
    return [f"{error.json_path}: {error.message}" for error in ray_service_validator().iter_errors(instance)]


def _strict(schema: Any) -> Any:  # noqa: ANN401
    if isinstance(schema, list):
        return [_strict(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(inner) for key, inner in schema.items() if key != "x-kubernetes-validations"}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        strict["additionalProperties"] = False
    return strict
