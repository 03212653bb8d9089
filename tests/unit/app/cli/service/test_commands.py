from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.endpoints import Target
from app.cli.service import commands
from app.errors import LoadInProgressError


def test_a_model_without_probabilities_answers_a_csv_with_predictions_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def call(_target: object, method: str, _path: str, *, message: Any = None) -> dict[str, Any]:  # noqa: ANN401
        if method == "GET":
            return {"model_loaded": True, "columns": ["a", "b"], "classes": []}
        return {"predictions": [sum(row) for row in message["features"]], "probabilities": None}

    monkeypatch.setattr(commands, "call", call)
    (tmp_path / "rows.csv").write_text("b,a\n1,2\n3,4\n")

    commands.predict(str(tmp_path / "rows.csv"))

    assert capsys.readouterr().out.splitlines() == ["prediction", "3.0", "7.0"]


@pytest.mark.parametrize(("busy", "says"), [(3, "version 7 serves on 2"), (99, "Another load")])
def test_a_load_waits_for_the_one_that_is_under_way_but_not_forever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], busy: int, says: str
) -> None:
    refused = LoadInProgressError("Another load is under way.").problem("/model/load")
    served = {"model_info": {"name": "m", "version": "7"}, "replicas": [{}, {}]}
    answers = [httpx.Response(409, json=refused)] * busy + [httpx.Response(200, json=served)]
    monkeypatch.setattr(httpx, "request", lambda *_args, **_options: answers.pop(0))
    monkeypatch.setattr(Target, "find", lambda _settings: Target())
    monkeypatch.setattr(commands, "BUSY_PAUSE_S", 0)

    try:
        commands.load()
        said = capsys.readouterr().out
    except LoadInProgressError as error:
        said = str(error)

    assert says in said
