"""`manta doctor` computes the same resource requests as the program registers."""

from decimal import Decimal

import pytest

from app.cli.stack.doctor import preflight
from infra.config import settings
from tests.support.json_object import JsonObject
from tests.support.program import Program, config


def requests(container: JsonObject) -> dict[str, Decimal]:
    return {kind: preflight.parse_quantity(quantity) for kind, quantity in container["resources"]["requests"].items()}


def total(containers: list[JsonObject]) -> dict[str, Decimal]:
    parts = [requests(container) for container in containers]
    return {kind: sum((part[kind] for part in parts), Decimal(0)) for kind in ("cpu", "memory")}


def text_of(stack: str) -> dict[str, str]:
    """Configuration including defaults, as Pulumi prints it."""
    configured = {key.removeprefix("manta:"): value for key, value in config(stack, {}).items()}
    defaults = {key: str(field.get_default(call_default_factory=True)) for key, field in settings.keys().items()}
    return defaults | configured


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_doctor_computes_the_requests_of_the_stack(program: Program, stack: str) -> None:
    record = program.deploy(stack)
    cluster = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    workers = cluster["workerGroupSpecs"][0]
    ray = [
        cluster["headGroupSpec"]["template"]["spec"]["containers"][0],
        *[workers["template"]["spec"]["containers"][0]] * workers["replicas"],
        cluster["autoscalerOptions"],
    ]
    sets = record.of_type("kubernetes:apps/v1:StatefulSet")
    redis = [resource.inputs["spec"]["template"]["spec"]["containers"][0] for resource in sets]
    values = [resource.inputs["values"] for resource in record.of_type("kubernetes:helm.sh/v3:Release")]
    releases = [value for value in values for _ in range(value.get("replicaCount", 1))]

    stack_requests, second_ray_cluster = preflight.requested_resources(text_of(stack))

    assert second_ray_cluster == total(ray)
    assert stack_requests == total([*ray, *redis, *releases])
