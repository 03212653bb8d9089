"""The check of `manta doctor` for the models of the service."""

from app.cli.stack.doctor import served_models
from app.cli.stack.doctor.checks import CheckResult, Status
from tests.support.json_object import JsonObject
from tests.support.json_server import json_server

MODEL: JsonObject = {"name": "main", "state": "loaded", "refused": None}


def check(*models: JsonObject, trouble: str | None = None) -> list[CheckResult]:
    with json_server({"GET /api/models": lambda _: {"models": list(models), "trouble": trouble}}) as url:
        return list(served_models.run_checks(f"{url}/api"))


def test_models_that_serve_are_counted() -> None:
    [result] = check(MODEL, MODEL | {"name": "a"}, MODEL | {"name": "b", "state": "not loaded"})

    assert (result.status, result.detail) == (Status.OK, "2 beside main, 1 loaded")


def test_a_refused_model_is_wrong_and_named_with_the_reason() -> None:
    [result] = check(MODEL, MODEL | {"name": "a", "refused": "version 3: It is damaged."})

    assert result.status == Status.WRONG
    assert "refused: a version 3: It is damaged." in result.detail
    assert "manta serve NAME --version" in result.next_step


def test_a_service_that_cannot_read_its_models_is_wrong() -> None:
    [result] = check(MODEL, trouble="MLflow does not answer.")

    assert (result.status, result.detail) == (Status.WRONG, "MLflow does not answer.")


def test_a_service_that_does_not_answer_is_left_to_the_other_checks() -> None:
    assert list(served_models.run_checks("http://127.0.0.1:9")) == []
