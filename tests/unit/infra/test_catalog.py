"""The keys of the models beside the default model, and of the tokens for predictions."""

import pytest

from infra.config.settings import SettingsError
from tests.support.json_object import JsonObject
from tests.support.program import Program

RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
TOKENS = "churn:supplied-churn-token,supplied-predict-token"


def worker_environment(program: Program, **changes: object) -> dict[str, JsonObject]:
    spec = program.deploy(**changes).resource(RAY_SERVICE).inputs["spec"]
    [container] = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    return {variable["name"]: variable for variable in container["env"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"memory": "4Gi"}, 2 * 2**30),
        ({"memory": "4Gi", "cpus": 4}, 2**30),
        ({"memory": "4Gi", "modelsMemory": "512Mi"}, 2**29),
    ],
    ids=["half of the worker", "two replicas in a worker", "given"],
)
def test_the_memory_for_models_is_half_of_the_share_of_a_replica_unless_it_is_given(
    program: Program, changes: dict[str, object], expected: int
) -> None:
    assert worker_environment(program, **changes)["MANTA_MODELS_MEMORY"]["value"] == str(expected)


def test_the_listed_models_reach_the_replicas(program: Program) -> None:
    assert worker_environment(program, models=["churn", "fraud"])["MANTA_MODELS"]["value"] == "churn,fraud"
    assert "MANTA_MODELS" not in worker_environment(program)  # KubeRay would write the empty value away


def test_the_tokens_for_predictions_reach_the_replicas_by_a_secret(program: Program) -> None:
    record = program.deploy(predictNeedsToken=True, predictTokens=TOKENS)

    assert record.resource("kubernetes:core/v1:Secret", "serve-auth").inputs["stringData"]["predict-tokens"] == TOKENS
    spec = record.resource(RAY_SERVICE).inputs["spec"]
    [container] = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    [variable] = [item for item in container["env"] if item["name"] == "MANTA_PREDICT_TOKENS"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "serve-auth", "key": "predict-tokens"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictTokens": TOKENS}, "predictNeedsToken is false"),
        ({"predictTokens": "short", "predictNeedsToken": True}, "allowed are TOKEN and MODEL:TOKEN"),
        ({"predictTokens": "a/b:supplied-predict-token", "predictNeedsToken": True}, "allowed are TOKEN"),
        ({"modelsMemory": "2Gi", "memory": "2Gi"}, "which a worker of 2Gi does not have"),
        ({"modelsMemory": "much"}, "modelsMemory"),
        ({"models": ["a/b"]}, "models[0]"),
    ],
)
def test_values_that_cannot_work_are_refused(program: Program, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        program.deploy(**changes)

    assert message in str(error.value)
    assert "supplied-" not in str(error.value)
