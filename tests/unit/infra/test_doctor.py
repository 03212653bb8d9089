"""`manta doctor` computes the same resource requests as the program registers."""

import json
from decimal import Decimal

import pytest

from app.cli.stack import profile
from app.cli.stack.doctor import cluster_fit, resources
from infra import names
from infra.config import settings
from infra.preflight import checks, cluster_state
from tests.support.json_object import JsonObject
from tests.support.kubernetes_objects import operator
from tests.support.program import PROJECT, Program, config


def requests(container: JsonObject) -> dict[str, Decimal]:
    return {kind: resources.parse_quantity(quantity) for kind, quantity in container["resources"]["requests"].items()}


def total(containers: list[JsonObject]) -> dict[str, Decimal]:
    parts = [requests(container) for container in containers]
    return {kind: sum((part[kind] for part in parts), Decimal(0)) for kind in ("cpu", "memory")}


def text(value: object) -> str:
    """A default as Pulumi prints it."""
    return json.dumps(value) if isinstance(value, (tuple, dict, bool)) else str(value)


def text_of(stack: str, changes: dict[str, object]) -> dict[str, str]:
    """Configuration including defaults and the profile, as `manta doctor` reads it."""
    configured = {key.removeprefix("manta:"): value for key, value in config(stack, changes).items()}
    defaults = {key: text(field.get_default(call_default_factory=True)) for key, field in settings.keys().items()}
    return profile.apply(defaults | configured, PROJECT, stack)


GROUPS: list[JsonObject] = [{"name": "gpu", "cpus": 3, "memory": "5Gi", "minWorkers": 2, "maxWorkers": 2}]


@pytest.mark.parametrize(
    ("stack", "changes"),
    [
        ("dev", {}),
        ("prod", {}),
        ("dev", {"trainWorkers": 3, "trainMinWorkers": 2, "trainMemory": "3Gi"}),
        ("prod", {"trainWorkers": 2, "workerGroups": GROUPS}),
    ],
)
def test_the_doctor_computes_the_requests_of_the_stack(
    program: Program, stack: str, changes: dict[str, object]
) -> None:
    record = program.deploy(stack, **changes)
    cluster = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    ray = [
        cluster["headGroupSpec"]["template"]["spec"]["containers"][0],
        *(
            group["template"]["spec"]["containers"][0]
            for group in cluster["workerGroupSpecs"]
            for _ in range(group["replicas"])
        ),
        cluster["autoscalerOptions"],
    ]
    sets = record.of_type("kubernetes:apps/v1:StatefulSet")
    redis = [resource.inputs["spec"]["template"]["spec"]["containers"][0] for resource in sets]
    values = [resource.inputs["values"] for resource in record.of_type("kubernetes:helm.sh/v3:Release")]
    releases = [value for value in values for _ in range(value.get("replicaCount", 1))]

    stack_requests, second_ray_cluster = resources.requested_resources(text_of(stack, changes))

    assert second_ray_cluster == total(ray)
    assert stack_requests == total([*ray, *redis, *releases])


@pytest.mark.parametrize(
    "arguments",
    [(), ("--watch-namespace", "manta"), ("--watch-namespace=a,manta",), ("--watch-namespace", "a"), ("--config", "x")],
)
def test_the_doctor_and_the_program_agree_which_operator_watches_a_namespace(arguments: tuple[str, ...]) -> None:
    deployment = operator(*arguments)

    assert cluster_fit.watches(deployment, "manta") is checks.watches(deployment, "manta")


def test_the_doctor_and_the_program_ask_for_the_same_version_and_find_the_same_operators() -> None:
    assert cluster_fit.MIN_KUBERNETES == checks.MIN_KUBERNETES
    assert cluster_fit.OPERATOR_SELECTOR == cluster_state.OPERATOR_SELECTOR
    assert names.OPERATOR == cluster_fit.OPERATOR
