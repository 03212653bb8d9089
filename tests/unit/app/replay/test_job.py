"""What a version would have answered in a period, beside what was answered then."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.errors import DataError, LogOffError, ModelNotFoundError
from app.models.shadow_runs import ShadowRuns
from app.replay import job
from app.replay.result import Replay
from app.settings import Settings
from tests.support.logged_requests import LoggedVersions

CANCER = load_breast_cancer(as_frame=True)
ROWS = CANCER.data.iloc[:, :4].head(300)
LABELS = pd.Series(CANCER.target_names[CANCER.target.head(300)])
FOREST = RandomForestClassifier(20, random_state=0).fit(ROWS, LABELS)
STUMPS = RandomForestClassifier(3, max_depth=1, random_state=1).fit(ROWS, LABELS)
GUESSES = DummyClassifier(strategy="constant", constant="benign").fit(ROWS, LABELS)
DIABETES, PROGRESSION = load_diabetes(return_X_y=True, as_frame=True)
SCORE = balanced_accuracy_score(LABELS.head(100), FOREST.predict(ROWS.head(100)))
"""Score of `FOREST` on the first 100 rows. `GUESSES` has 0.5."""

PARTS = [ROWS.iloc[:100], ROWS.iloc[100:101], ROWS.iloc[101:200]]

Replayer = Callable[..., Replay]


def versions(*models: BaseEstimator, rows: pd.DataFrame = ROWS, metric: str = "") -> LoggedVersions:
    return LoggedVersions(*((model, rows) for model in models), metric=metric)


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Replayer:
    """Replays the log of some versions through one of them."""

    def run(logged: LoggedVersions, version: str = "2", *, show_examples: bool = True) -> Replay:
        monkeypatch.setattr(job, "Registry", lambda _: logged)
        monkeypatch.setattr(job, "require_store", lambda _, **_purpose: logged.store)
        settings = Settings(model_name="m").model_copy(update={"show_examples": show_examples})
        return job.run(settings, version=version, period=timedelta(days=7))

    return run


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


def test_without_examples_no_row_is_kept(replay: Replayer) -> None:
    logged = versions(FOREST, STUMPS)
    logged.answer("1", *PARTS)

    assert replay(logged, show_examples=False).rows == []


def test_the_labels_score_both(replay: Replayer) -> None:
    logged = versions(GUESSES, FOREST)
    logged.answer("1", *PARTS, labels=LABELS.head(100).tolist())

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
    logged.answer("1", *PARTS, labels=LABELS.head(100).tolist())

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


def test_the_answers_of_several_versions_are_compared_together(replay: Replayer) -> None:
    logged = versions(FOREST, STUMPS, FOREST)
    logged.answer("2", ROWS.head(10))
    logged.answer("1", ROWS.head(30))

    result = replay(logged, "3")

    assert result.figures.champion == "1, 2"
    assert result.answered_by == {"1": 30, "2": 10}
    assert result.figures.rows == 40


def test_versions_with_classes_of_several_types_are_compared_and_scored(replay: Replayer) -> None:
    numbers = RandomForestClassifier(2, random_state=0).fit(ROWS, CANCER.target.head(300))
    logged = versions(numbers, FOREST, FOREST)
    logged.answer("2", ROWS.head(30), labels=LABELS.head(30).tolist())
    logged.answer("1", ROWS.head(10), labels=LABELS.head(10).tolist())

    result = replay(logged, "3")

    assert (result.figures.agreement, result.figures.errors) == (0.75, 0)
    assert result.figures.labels == ["benign", "malignant", "0", "1"]
    assert result.score is not None
    assert result.score.rows == 40
    assert result.score.improvement.value > 0


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


def test_the_replay_ends_when_its_time_is_up(replay: Replayer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "TIME_LIMIT_S", -1.0)
    logged = versions(FOREST, FOREST)
    logged.answer("1", *PARTS)

    result = replay(logged)

    assert (result.figures.rows, result.figures.difference, result.figures.agreement) == (0, None, None)
    assert result.notes == ["The replay was ended after -1 s."]


def test_columns_that_the_log_does_not_hold_are_an_error_that_names_them(replay: Replayer) -> None:
    logged = versions(FOREST, FOREST)
    logged.answer("1", ROWS.head(5), kept=["mean radius", "mean area"])

    with pytest.raises(DataError) as caught:
        replay(logged)

    assert str(caught.value) == (
        "The rows of version 1 cannot be replayed: the log does not hold the columns 'mean texture', 'mean perimeter' "
        "for them. Choose a period in which the log holds the columns of version 2. The key predictionLogColumns of "
        "the stack names the columns that the service logs."
    )


def test_a_column_of_text_where_the_version_takes_numbers_is_an_error(replay: Replayer) -> None:
    text = ROWS.assign(**{"mean area": ROWS["mean area"].astype(str)})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(text, LABELS)
    logged = LoggedVersions((model, text), (FOREST, ROWS))
    logged.answer("1", text.head(5))

    with pytest.raises(
        DataError, match="the log holds text in the columns 'mean area', and the version takes numbers"
    ):
        replay(logged)


@pytest.mark.parametrize(
    ("then", "now", "reason"),
    [
        ("classes", "numbers", "they were answered with classes, and the version answers numbers"),
        ("numbers", "classes", "they were answered with numbers, and the version answers classes"),
    ],
)
def test_answers_of_another_kind_are_an_error(replay: Replayer, then: str, now: str, reason: str) -> None:
    models = {
        "classes": RandomForestClassifier(2, random_state=0).fit(ROWS, CANCER.target.head(300)),
        "numbers": LinearRegression().fit(ROWS, CANCER.target.head(300)),
    }
    logged = versions(models[then], models[now])
    logged.answer("1", ROWS.head(5))

    with pytest.raises(DataError, match=reason):
        replay(logged)


def test_another_number_of_outputs_is_an_error(replay: Replayer) -> None:
    targets = np.column_stack([ROWS["mean area"], ROWS["mean radius"]])
    logged = versions(LinearRegression().fit(ROWS, targets[:, 0]), LinearRegression().fit(ROWS, targets))
    logged.answer("1", ROWS.head(5))

    with pytest.raises(DataError, match="The version answers 2 values per row, and 1 were answered then"):
        replay(logged)


def test_several_outputs_are_compared(replay: Replayer) -> None:
    targets = np.column_stack([ROWS["mean area"], ROWS["mean radius"]])
    logged = versions(*[LinearRegression().fit(ROWS, targets)] * 2)
    logged.answer("1", ROWS.head(5))

    figures = replay(logged).figures

    assert (figures.rows, figures.errors) == (5, 0)
    assert figures.difference is not None
    assert figures.difference.max == 0


def test_versions_whose_rows_do_not_fit_are_left_out_and_named(replay: Replayer) -> None:
    fewer = ROWS.drop(columns="mean area")
    logged = LoggedVersions((STUMPS, ROWS), (RandomForestClassifier(2).fit(fewer, LABELS), fewer), (FOREST, ROWS))
    logged.answer("1", ROWS.head(5))
    logged.answer("2", fewer.head(7))

    result = replay(logged, "3")

    assert (result.answered_by, result.figures.rows, result.logged_rows) == ({"1": 5}, 5, 12)
    reason = "the log does not hold the columns 'mean area' for them"
    assert result.notes == [f"The rows of version 2 cannot be replayed: {reason}."]


def test_columns_that_the_version_does_not_take_are_named(replay: Replayer) -> None:
    fewer = ROWS.drop(columns="mean area")
    logged = LoggedVersions((FOREST, ROWS), (RandomForestClassifier(2).fit(fewer, LABELS), fewer))
    logged.answer("1", ROWS.head(5))

    assert replay(logged).notes == ["Version 2 does not take the columns 'mean area' of the logged rows."]


def test_a_period_without_rows_is_an_error(replay: Replayer) -> None:
    with pytest.raises(DataError, match=r"The prediction log has no row of 'm' since 20\d\d-.* UTC\. Name a longer"):
        replay(versions(FOREST, FOREST))


def test_a_version_that_does_not_exist_is_an_error(replay: Replayer) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no version 9 of 'm'"):
        replay(versions(FOREST), "9")


def test_without_a_log_there_is_an_error() -> None:
    with pytest.raises(LogOffError, match=r"There is no prediction log to replay\. Say where it is: --log mlflow"):
        job.run(Settings(model_name="m"), version="1", period=timedelta(days=1))


def test_a_replay_has_metrics_and_a_folder_of_its_own(replay: Replayer, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, Any] = {}
    monkeypatch.setattr(ShadowRuns, "log", lambda _, version, **content: written.update(content, version=version))
    logged = versions(GUESSES, FOREST)
    logged.answer("1", *PARTS, labels=LABELS.head(100).tolist())
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
