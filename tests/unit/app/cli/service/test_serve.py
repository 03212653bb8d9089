import json

import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.errors import ModelNotFoundError, ParameterError
from tests.support.json_object import JsonObject
from tests.support.json_server import Answer, json_server

LOADED = {"model_info": {"name": "churn", "version": "7"}, "replicas": [{}, {}]}
MODEL: JsonObject = {"is_default": False, "state": "loaded", "version": "7", "champion": "7", "size_bytes": 3 * 2**20}
MODEL |= {"replicas": 2, "last_used": "2026-01-31T12:30:00Z", "requests": 41, "refused": None}
DEFAULT = MODEL | {"name": "main", "is_default": True, "last_used": None, "requests": None}
MODELS: JsonObject = {
    "models": [DEFAULT, MODEL | {"name": "churn"}, MODEL | {"name": "late", "state": "not loaded"}],
    "memory_limit_bytes": 2**30,
    "trouble": None,
}


def run(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer], *arguments: str) -> str:
    """Run a `manta` command against a service, and return its output."""
    with json_server(answers) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", url)
        return CliRunner().invoke(cli, arguments, catch_exceptions=False, env={"COLUMNS": "200"}).output


@pytest.mark.parametrize(
    ("arguments", "sent"), [(["serve", "churn"], {}), (["serve", "churn", "--version", "7"], {"version": "7"})]
)
def test_serve_loads_the_model_under_its_name(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], sent: JsonObject
) -> None:
    bodies: list[JsonObject] = []

    def answer(body: JsonObject) -> JsonObject:
        bodies.append(body)
        return LOADED

    output = run(monkeypatch, {"POST /fastapi_app/models/churn/load": answer}, *arguments)

    assert output == "churn version 7 serves on 2 replica(s).\n"
    assert bodies == [sent]


def test_serve_with_stop_ends_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    output = run(
        monkeypatch, {"DELETE /fastapi_app/models/churn": lambda _: {"is_served": False}}, "serve", "churn", "--stop"
    )

    assert output == "churn is not served any more.\n"


def test_a_name_with_a_slash_stays_one_part_of_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    error = (404, ModelNotFoundError("There is no such model.").problem("/"))

    with pytest.raises(Exception, match="There is no such model"):
        run(monkeypatch, {"POST /fastapi_app/models/..%2Fmodel/load": lambda _: error}, "serve", "../model")


def test_stop_and_a_version_exclude_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParameterError, match="exclude each other"):
        run(monkeypatch, {}, "serve", "churn", "--stop", "--version", "1")


def test_models_lists_what_the_service_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    output = run(monkeypatch, {"GET /fastapi_app/models": lambda _: MODELS}, "models", "--served")

    for text in ("main (default)", "churn", "not loaded", "2026-01-31T12:30:00", "1,024.0 MiB of each replica"):
        assert text in output


def test_models_prints_what_the_service_serves_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    output = run(monkeypatch, {"GET /fastapi_app/models": lambda _: MODELS}, "models", "--served", "--json")

    assert json.loads(output) == MODELS


def test_status_shows_what_each_version_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    measures = {"version": "7", "role": "champion", "requests": 12, "rows": 345, "client_errors": 0, "errors": 1}
    measures |= {"p50_ms": 0.5, "p95_ms": None, "answers": {"no": 300, "yes": 45}, "answer_quantiles": None}
    answers: dict[str, Answer] = {
        "GET /fastapi_app/model": lambda _: {"model_loaded": True, "model_info": {"version": "7"}},
        "GET /fastapi_app/models": lambda _: MODELS,
        "GET /fastapi_app/model/measures": lambda _: {"measures": [measures]},
    }

    output = run(monkeypatch, answers, "status")

    assert all(text in output for text in ("champion", "345", "0.5", "no: 300, yes: 45"))


def test_status_counts_the_further_models(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, Answer] = {
        "GET /fastapi_app/model": lambda _: {"model_loaded": True, "model_info": {"version": "7"}},
        "GET /fastapi_app/models": lambda _: MODELS,
        "GET /fastapi_app/model/measures": lambda _: {"measures": []},
    }

    output = run(monkeypatch, answers, "status", "--json")

    assert json.loads(output)["serve"]["detail"] == "version 7; 2 further models, 1 loaded"
