from pathlib import Path
from typing import Any

import pytest

from app.cli import models


def test_a_model_without_probabilities_answers_a_csv_with_predictions_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def call(_target: object, method: str, _path: str, *, message: Any = None) -> dict[str, Any]:  # noqa: ANN401
        if method == "GET":
            return {"model_loaded": True, "columns": ["a", "b"], "classes": []}
        return {"predictions": [sum(row) for row in message["features"]], "probabilities": None}

    monkeypatch.setattr(models, "call", call)
    (tmp_path / "rows.csv").write_text("b,a\n1,2\n3,4\n")

    models.predict(str(tmp_path / "rows.csv"))

    assert capsys.readouterr().out.splitlines() == ["prediction", "3.0", "7.0"]
