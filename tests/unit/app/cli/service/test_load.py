import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.cli.service import load
from app.errors import LoadInProgressError
from tests.support.json_object import JsonObject
from tests.support.json_server import json_server

BUSY = LoadInProgressError("Another load is under way.").problem("/model/load")
LOADED = {"model_info": {"name": "m", "version": "7"}, "replicas": [{}, {}]}


def load_while_busy(monkeypatch: pytest.MonkeyPatch, refusals: int) -> str:
    """Run `manta load` against a service that refuses the first loads, and return the output."""
    monkeypatch.setattr(load, "RETRY_PAUSE_S", 0)
    answers: list[JsonObject | tuple[int, JsonObject]] = [(409, BUSY)] * refusals + [LOADED]
    with json_server({"POST /fastapi_app/model/load": lambda _: answers.pop(0)}) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", url)
        return CliRunner().invoke(cli, ["load"], catch_exceptions=False).output


def test_a_load_is_repeated_while_another_load_is_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    output = load_while_busy(monkeypatch, refusals=3)

    assert output == "Another load is under way. Waiting for it ...\nm version 7 serves on 2 replica(s).\n"


def test_a_load_is_repeated_a_limited_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LoadInProgressError, match="Another load"):
        load_while_busy(monkeypatch, refusals=999)


def test_the_service_may_have_another_route_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[JsonObject] = []

    def answer(body: JsonObject) -> JsonObject:
        bodies.append(body)
        return LOADED

    with json_server({"POST /scores/v1/model/load": answer}) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", f"{url}/scores/v1/")

        CliRunner().invoke(cli, ["load", "--version", "7"], catch_exceptions=False)

    assert bodies == [{"version": "7"}]
