"""The keys of the prediction log."""

import re

import pytest

from app import names
from infra.config.prediction_log_options import PREDICTION_LOG_PATTERN
from infra.config.settings import SettingsError
from tests.support.program import Program

RAY_SERVICE = "kubernetes:ray.io/v1:RayService"


def worker_environment(program: Program, **changes: object) -> dict[str, str]:
    spec = program.deploy(**changes).resource(RAY_SERVICE).inputs["spec"]
    [container] = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def test_the_prediction_log_is_off_unless_the_stack_asks_for_it(program: Program) -> None:
    assert worker_environment(program)["MANTA_PREDICTION_LOG"] == "off"


def test_the_keys_of_the_prediction_log_reach_the_replicas(program: Program) -> None:
    environment = worker_environment(
        program,
        predictionLog="mlflow",
        predictionLogPercent=25,
        predictionLogRowsPerSecond=500,
        predictionLogColumns=["a,b", "c"],
        predictionLogDays=7,
    )

    log = {name: value for name, value in environment.items() if name.startswith("MANTA_PREDICTION_LOG")}
    assert log == {
        "MANTA_PREDICTION_LOG": "mlflow",
        "MANTA_PREDICTION_LOG_SHARE": "0.25",
        "MANTA_PREDICTION_LOG_ROWS_PER_SECOND": "500",
        "MANTA_PREDICTION_LOG_COLUMNS": '["a,b", "c"]',
        "MANTA_PREDICTION_LOG_DAYS": "7",
    }


def test_ray_knows_what_begins_a_retraining(program: Program) -> None:
    assert worker_environment(program)["MANTA_RETRAIN_ON"] == "score"
    assert worker_environment(program, retrainOn="never")["MANTA_RETRAIN_ON"] == "never"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predictionLog": "s3://key:secret@bucket/folder"}, "allowed are `off`, `mlflow`"),
        ({"predictionLog": "s3://bucket/a folder"}, "allowed are `off`, `mlflow`"),
        ({"predictionLog": "s3://bucket"}, "allowed are `off`, `mlflow`"),
        ({"predictionLog": "redis"}, "allowed are `off`, `mlflow`"),
        ({"predictionLogPercent": 0}, "predictionLogPercent"),
        ({"predictionLogPercent": 101}, "predictionLogPercent"),
        ({"predictionLogRowsPerSecond": -1}, "predictionLogRowsPerSecond"),
        ({"predictionLogDays": 0}, "predictionLogDays"),
        ({"driftSchedule": "@hourly"}, "driftSchedule: set, but the prediction log is off"),
        ({"driftSchedule": "hourly", "predictionLog": "mlflow"}, "driftSchedule"),
        ({"retrainOn": "always"}, "retrainOn"),
    ],
)
def test_values_that_cannot_work_are_refused(program: Program, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        program.deploy(**changes)


def test_stack_and_service_accept_the_same_places() -> None:
    assert PREDICTION_LOG_PATTERN == names.PREDICTION_LOG_PATTERN
