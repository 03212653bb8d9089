from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.endpoints import Endpoints
from app.cli.service import commands
from app.errors import LoadInProgressError
from tests.support.json_object import JsonObject


def test_a_model_without_probabilities_gives_a_csv_of_predictions_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def call(_target: object, method: str, _path: str, *, body: Any = None) -> JsonObject:  # noqa: ANN401 - any JSON
        if method == "GET":
            return {"model_loaded": True, "columns": ["a", "b"], "classes": []}
        return {"predictions": [sum(row) for row in body["features"]], "probabilities": None}

    monkeypatch.setattr(commands, "call", call)
    (tmp_path / "rows.csv").write_text("b,a\n1,2\n3,4\n")

    commands.predict(str(tmp_path / "rows.csv"))

    assert capsys.readouterr().out.splitlines() == ["prediction", "3.0", "7.0"]


@pytest.mark.parametrize(("refusals", "message"), [(3, "version 7 serves on 2"), (99, "Another load")])
def test_a_load_is_repeated_a_limited_number_of_times_while_another_load_is_in_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusals: int, message: str
) -> None:
    problem = LoadInProgressError("Another load is under way.").problem("/model/load")
    loaded = {"model_info": {"name": "m", "version": "7"}, "replicas": [{}, {}]}
    responses = [httpx.Response(409, json=problem)] * refusals + [httpx.Response(200, json=loaded)]
    monkeypatch.setattr(httpx, "request", lambda *_args, **_options: responses.pop(0))
    monkeypatch.setattr(Endpoints, "resolve", lambda _settings: Endpoints())
    monkeypatch.setattr(commands, "LOAD_RETRY_PAUSE_S", 0)

    try:
        commands.load()
        output = capsys.readouterr().out
    except LoadInProgressError as error:
        output = str(error)

    assert message in output
