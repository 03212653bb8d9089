"""What a version would have answered in a period, beside what was answered then."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.replay import job
from tests.support.replayed_models import FOREST, ROWS, STUMPS, versions
from tests.unit.app.replay.conftest import Replayer

PARTS = [ROWS.iloc[:100], ROWS.iloc[100:101], ROWS.iloc[101:200]]


def test_a_version_of_the_same_model_answers_what_was_answered_then(replay: Replayer) -> None:
    logged = versions(FOREST, FOREST)
    logged.answer("1", *PARTS)

    result = replay(logged)

    figures = result.figures
    assert (figures.champion, figures.requests, figures.rows, figures.errors) == ("1", 3, 200, 0)
    assert (figures.agreement, result.rows, result.notes) == (1, [], [])
    assert figures.difference is not None
    assert figures.difference.max == 0
    assert (result.logged_rows, result.answered_by) == (200, {"1": 200})
    assert figures.latency.p50_ms is None


def test_answers_that_differ_are_counted_by_class_and_shown(replay: Replayer) -> None:
    logged = versions(FOREST, STUMPS)
    logged.answer("1", *PARTS)

    result = replay(logged)

    before, after = (pd.Series(model.predict(ROWS.head(200))) for model in (FOREST, STUMPS))
    assert result.figures.labels == ["benign", "malignant"]
    assert result.figures.confusion == pd.crosstab(before, after).to_numpy().tolist()
    assert result.figures.agreement == pytest.approx((before == after).mean())
    assert len(result.rows) == 20
    sizes = np.abs(FOREST.predict_proba(ROWS.head(200)) - STUMPS.predict_proba(ROWS.head(200))).max(axis=1)
    assert result.rows[0].difference == pytest.approx(sizes.max())
    assert result.rows[0].row == ROWS.iloc[int(np.argmax(sizes))].tolist()


def test_the_answers_of_several_versions_are_compared_together(replay: Replayer) -> None:
    logged = versions(FOREST, STUMPS, FOREST)
    logged.answer("2", ROWS.head(10))
    logged.answer("1", ROWS.head(30))

    result = replay(logged, "3")

    assert result.figures.champion == "1, 2"
    assert result.answered_by == {"1": 30, "2": 10}
    assert result.figures.rows == 40


def test_a_version_is_compared_with_itself_and_a_note_says_so(replay: Replayer) -> None:
    logged = versions(FOREST)
    logged.answer("1", ROWS.head(10))

    result = replay(logged, "1")

    assert result.figures.agreement == 1
    assert result.notes == ["Version 1 itself answered 10 of the rows. These compare it with itself."]


def test_text_dates_and_missing_values_are_answered_as_then(replay: Replayer) -> None:
    rows = pd.DataFrame(
        {
            "town": ["x", "y", None, "x"] * 10,
            "size": [1.0, None, 3.0, 4.0] * 10,
            "day": pd.to_datetime(["2026-01-01", "2026-02-01", "2026-03-01", "2026-04-01"] * 10),
        }
    )
    columns = make_column_transformer(
        (OneHotEncoder(), ["town"]), (SimpleImputer(), ["size"]), remainder="drop", verbose_feature_names_out=False
    )
    model = make_pipeline(columns, LogisticRegression()).fit(rows, ["a", "b", "b", "a"] * 10)
    logged = versions(model, model, rows=rows)
    logged.answer("1", rows)

    result = replay(logged)

    assert (result.figures.rows, result.figures.errors, result.figures.agreement) == (40, 0, 1)
    assert result.figures.difference is not None
    assert result.figures.difference.max == 0


def test_requests_that_the_version_fails_to_answer_are_counted(replay: Replayer) -> None:
    rows = pd.DataFrame({"town": ["x", "y", "z"] * 10})
    old, new = (
        make_pipeline(OneHotEncoder(handle_unknown=unknown), LogisticRegression()).fit(part, part["town"] == "x")
        for unknown, part in (("ignore", rows), ("error", rows[rows["town"] != "z"]))
    )
    logged = versions(old, new, rows=rows)
    logged.answer("1", rows.iloc[:2], rows.iloc[2:3], rows.iloc[3:5])

    figures = replay(logged).figures

    assert (figures.requests, figures.rows, figures.errors) == (2, 4, 1)
    assert figures.last_error is not None
    assert figures.last_error.startswith("ValueError: Found unknown categories")


def test_without_examples_neither_the_command_nor_mlflow_gets_a_value_of_a_row(replay: Replayer) -> None:
    rows = pd.DataFrame({"town": ["Lima", "Quito", "Cusco"] * 10})
    old, new = (
        make_pipeline(OneHotEncoder(handle_unknown=unknown), LogisticRegression()).fit(part, part["town"] == "Lima")
        for unknown, part in (("ignore", rows), ("error", rows[rows["town"] != "Cusco"]))
    )
    logged = versions(old, new, rows=rows)
    logged.answer("1", rows.iloc[:2], rows.iloc[2:3])

    shown, hidden = (replay(logged, show_examples=is_shown) for is_shown in (True, False))

    texts = [json.dumps([result.to_json(), *result.documents().values()]) for result in (shown, hidden)]
    assert [[town in text for town in ("Lima", "Cusco")] for text in texts] == [[True, True], [False, False]]
    assert (hidden.figures.rows, hidden.figures.last_error) == (2, "ValueError")


def test_the_replay_ends_when_its_time_is_up(replay: Replayer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "TIME_LIMIT_S", -1.0)
    logged = versions(FOREST, FOREST)
    logged.answer("1", *PARTS)

    result = replay(logged)

    assert (result.figures.rows, result.figures.difference, result.figures.agreement) == (0, None, None)
    assert result.notes == ["The replay was ended after -1 s."]


def test_several_outputs_are_compared(replay: Replayer) -> None:
    targets = np.column_stack([ROWS["mean area"], ROWS["mean radius"]])
    logged = versions(*[LinearRegression().fit(ROWS, targets)] * 2)
    logged.answer("1", ROWS.head(5))

    figures = replay(logged).figures

    assert (figures.rows, figures.errors) == (5, 0)
    assert figures.difference is not None
    assert figures.difference.max == 0
