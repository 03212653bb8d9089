"""The scores of a version and of what was answered then."""

from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score

from app.models.shadow_runs import ShadowRuns
from app.replay import job
from app.settings import Settings
from tests.support.replayed_models import CODES, FOREST, GUESSES, LABELS, ROWS, STUMPS, versions
from tests.unit.app.replay.conftest import Replayer

DIABETES, PROGRESSION = load_diabetes(return_X_y=True, as_frame=True)

SCORE = balanced_accuracy_score(LABELS.head(100), FOREST.predict(ROWS.head(100)))
"""Score of `FOREST` on the first 100 rows. `GUESSES` has 0.5."""


def test_the_labels_score_both(replay: Replayer) -> None:
    logged = versions(GUESSES, FOREST)
    logged.answer("1", ROWS.head(200), labels=LABELS.head(100).tolist())

    score = replay(logged).score

    assert score is not None
    assert (score.metric, score.rows) == ("balanced_accuracy", 100)
    assert score.score.value == pytest.approx(SCORE)
    assert score.answered.value == 0.5
    assert score.improvement.value == pytest.approx(SCORE - 0.5)
    assert score.improvement.low is not None
    assert score.improvement.low > 0.4


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_the_metric_of_the_gate_scores_the_probabilities(replay: Replayer, metric: str) -> None:
    logged = versions(STUMPS, FOREST, metric=metric)
    logged.answer("1", ROWS.head(200), labels=LABELS.head(100).tolist())

    score = replay(logged).score

    assert score is not None
    assert score.metric == metric
    assert score.improvement.value > 0


def test_numbers_are_scored_as_numbers_although_all_labels_are_whole(replay: Replayer) -> None:
    model = LinearRegression().fit(DIABETES, PROGRESSION)
    logged = versions(model, model, rows=DIABETES)
    logged.answer("1", DIABETES.head(30), labels=PROGRESSION.head(30).astype(int).tolist())

    result = replay(logged)

    assert result.score is not None
    assert (result.score.metric, result.score.improvement.value) == ("rmse", 0)
    assert (result.figures.agreement, result.figures.confusion) == (None, [])


@pytest.mark.parametrize(
    ("metric", "models", "labels", "note"),
    [
        ("", (FOREST, FOREST), [1, 2, 3], "version 2 knows none of these rows' classes."),
        ("roc_auc", (FOREST, FOREST), ["benign"], "All rows that the metric 'roc_auc' is computed on have the same"),
        (
            "log_loss",
            (RidgeClassifier().fit(ROWS, LABELS), FOREST),
            ["benign", "malignant"],
            "What was answered then lacks the probabilities of the classes, which log_loss needs.",
        ),
    ],
)
def test_labels_that_cannot_be_judged_are_a_note(
    replay: Replayer, metric: str, models: tuple[BaseEstimator, ...], labels: list[object], note: str
) -> None:
    logged = versions(*models, metric=metric)
    logged.answer("1", ROWS.head(10), labels=labels)  # type: ignore[arg-type] # labels of several types

    result = replay(logged)

    assert result.score is None
    assert result.figures.rows == 10
    assert result.notes[0].startswith(f"The labelled rows cannot be scored: {note}")


def test_versions_with_classes_of_several_types_are_compared_and_scored(replay: Replayer) -> None:
    numbers = RandomForestClassifier(2, random_state=0).fit(ROWS, CODES)
    logged = versions(numbers, FOREST, FOREST)
    logged.answer("2", ROWS.head(30), labels=LABELS.head(30).tolist())
    logged.answer("1", ROWS.head(10), labels=LABELS.head(10).tolist())

    result = replay(logged, "3")

    assert (result.figures.agreement, result.figures.errors) == (0.75, 0)
    assert result.figures.labels == ["benign", "malignant", "0", "1"]
    assert result.figures.difference is not None
    assert result.figures.difference.mean == 0.25  # probabilities of other classes are not compared
    assert result.score is not None
    assert result.score.rows == 40
    assert result.score.improvement.value > 0


def test_a_replay_has_metrics_and_a_folder_of_its_own(replay: Replayer, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, Any] = {}
    monkeypatch.setattr(ShadowRuns, "log", lambda _, version, **content: written.update(content, version=version))
    logged = versions(GUESSES, FOREST)
    logged.answer("1", ROWS.head(200), labels=LABELS.head(100).tolist())
    result = replay(logged)

    job.write(result, Settings())

    metrics, documents = written["metrics"], written["documents"]
    assert written["version"] == "2"
    assert {name.partition(".")[0] for name in metrics} == {"replay"}
    assert metrics["replay.rows"] == 200
    scores = [metrics[f"replay.{name}"] for name in ("score", "answered_score", "improvement", "labelled_rows")]
    assert scores == pytest.approx([SCORE, 0.5, SCORE - 0.5, 100])
    assert sorted(documents) == [f"{result.folder}/{name}.json" for name in ("comparison", "replay", "rows")]
    assert result.folder.startswith("replay/20")
    assert documents[f"{result.folder}/comparison.json"]["agreement"] == result.figures.agreement
    assert documents[f"{result.folder}/rows.json"]["columns"] == list(ROWS)
    assert documents[f"{result.folder}/replay.json"]["answered_by"] == {"1": 200}
