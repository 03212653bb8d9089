"""What `manta doctor` reckons with is what the program asks for."""

from decimal import Decimal
from typing import Any

import pytest

from app.cli.stack.doctor import preflight
from infra.config import settings
from tests.support.program import Program, config


def requests(container: dict[str, Any]) -> dict[str, Decimal]:
    return {kind: preflight.amount(text) for kind, text in container["resources"]["requests"].items()}


def total(containers: list[dict[str, Any]]) -> dict[str, Decimal]:
    parts = [requests(container) for container in containers]
    return {kind: sum((part[kind] for part in parts), Decimal(0)) for kind in ("cpu", "memory")}


def text_of(stack: str) -> dict[str, str]:
    """Configuration with its defaults, as Pulumi prints it."""
    given = {key.removeprefix("manta:"): value for key, value in config(stack, {}).items()}
    defaults = {key: str(field.get_default(call_default_factory=True)) for key, field in settings.keys().items()}
    return defaults | given


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_doctor_reckons_with_what_the_stack_asks_for(program: Program, stack: str) -> None:
    record = program.deploy(stack)
    cluster = record.one("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    workers = cluster["workerGroupSpecs"][0]
    ray = [
        cluster["headGroupSpec"]["template"]["spec"]["containers"][0],
        *[workers["template"]["spec"]["containers"][0]] * workers["replicas"],
        cluster["autoscalerOptions"],
    ]
    sets = record.of_type("kubernetes:apps/v1:StatefulSet")
    redis = [one.inputs["spec"]["template"]["spec"]["containers"][0] for one in sets]
    values = [one.inputs["values"] for one in record.of_type("kubernetes:helm.sh/v3:Release")]
    releases = [value for value in values for _ in range(value.get("replicaCount", 1))]

    running, upgrade = preflight.asked(text_of(stack))

    assert upgrade == total(ray)
    assert running == total([*ray, *redis, *releases])
