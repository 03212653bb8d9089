"""Disruption budgets: a drain moves one pod of a part after the other, and always comes to its end."""

import pytest

from tests.support.engine import object_name
from tests.support.json_object import JsonObject
from tests.support.program import Program

BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"


def budgets(program: Program, stack: str, **changes: object) -> dict[str, JsonObject]:
    return {object_name(budget): budget.inputs["spec"] for budget in program.deploy(stack, **changes).of_type(BUDGET)}


@pytest.mark.parametrize("changes", [{}, {"redis": "external", "redisAddress": "redis.example.com:6380"}])
def test_a_stack_whose_parts_have_one_pod_each_holds_no_drain(program: Program, changes: dict[str, object]) -> None:
    assert budgets(program, "dev", **changes) == {}


def test_a_drain_takes_one_worker_and_one_mlflow_server_at_a_time(program: Program) -> None:
    workers, mlflow = (budgets(program, "prod")[name] for name in ("manta-workers", "mlflow"))

    assert workers["minAvailable"] == 2
    assert workers["selector"]["matchLabels"]["ray.io/group"] == "workers"
    assert mlflow["minAvailable"] == 1
    assert workers["unhealthyPodEvictionPolicy"] == mlflow["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
