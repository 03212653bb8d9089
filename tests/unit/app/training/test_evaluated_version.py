"""The score of a registered version beside that of the champion."""

from pathlib import Path

import numpy as np
import pytest
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.cli.service import evaluate as command
from app.errors import DataError, ModelNotFoundError, ModelRefusedError, ParameterError
from app.models.artifact import Artifact
from app.settings import Settings
from app.training import evaluated_version
from app.training.evaluated_version import Evaluation, evaluate
from tests.support.fake_registry import FakeRegistry

FRAME = load_breast_cancer(as_frame=True).frame
ROWS, LABELS = FRAME.drop(columns="target"), FRAME["target"]
GOOD = LogisticRegression(max_iter=5000).fit(ROWS, LABELS)
BAD = DummyClassifier(strategy="stratified", random_state=0).fit(ROWS, LABELS)
DIABETES, PROGRESSION = load_diabetes(return_X_y=True, as_frame=True)


class Versions:
    """A registry whose versions have the numbers 1, 2, ...; the first one is the champion."""

    def __init__(self, *models: BaseEstimator, metric: str = "", refused: str = "") -> None:
        self.models = models
        self.metric = metric
        self.refused = refused

    def find(self, name: str, *, version: str) -> ModelVersion:
        if not version.isdigit() or int(version) > len(self.models):
            raise ModelNotFoundError(f"There is no version {version} of {name!r}.")
        tags = [ModelVersionTag("gate.metric", self.metric)] if self.metric else []  # type: ignore[no-untyped-call] # MLflow's class has no types
        return ModelVersion(name=name, version=version, creation_timestamp=0, tags=tags)

    def champion(self, name: str) -> ModelVersion:
        return self.find(name, version="1")

    def fetch(self, version: ModelVersion) -> Artifact:
        if version.version == self.refused:
            raise ModelRefusedError(f"version {version.version} is too old.")
        model = self.models[int(version.version) - 1]
        return FakeRegistry(model, DIABETES if isinstance(model, LinearRegression) else ROWS).fetch(version)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A file with rows and labels."""
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    return str(tmp_path / "rows.csv")


def score(
    monkeypatch: pytest.MonkeyPatch, registry: Versions, data: str, version: str = "2", metric: str | None = None
) -> Evaluation:
    monkeypatch.setattr(evaluated_version, "Registry", lambda _: registry)
    return evaluate(version, Settings(model_name="m"), data=data, target="target", metric=metric)


@pytest.mark.parametrize(
    ("is_shown", "message"), [(True, "(ValueError: Found unknown categories"), (False, "(ValueError).")]
)
def test_the_message_of_an_estimator_is_shown_if_rows_may_be_shown(
    monkeypatch: pytest.MonkeyPatch,
    data: str,
    is_shown: bool,  # noqa: FBT001 - pytest passes it by name
    message: str,
) -> None:
    champion = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(ROWS.head(50), LABELS.head(50))
    monkeypatch.setattr(evaluated_version, "Registry", lambda _: Versions(champion, GOOD))
    settings = Settings(model_name="m").model_copy(update={"show_examples": is_shown})

    evaluation = evaluate("2", settings, data=data, target="target")

    assert f"it cannot predict these rows {message}" in evaluation.note


def test_a_better_version_is_compared_with_the_champion_on_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    evaluation = score(monkeypatch, Versions(BAD, GOOD), data)

    assert (evaluation.version, evaluation.champion, evaluation.rows) == ("2", "1", len(FRAME))
    assert evaluation.metric == "balanced_accuracy"
    improvement, champion = evaluation.improvement, evaluation.champion_score
    assert improvement is not None
    assert champion is not None
    assert improvement.low is not None
    assert improvement.low > 0.3
    assert improvement.value == pytest.approx(evaluation.score.value - champion.value)
    lines = list(command.lines(evaluation))
    assert lines[0] == f"m: balanced_accuracy on 569 rows of {data}"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "  version 2",
        "  version 1, the champion",
        "  improvement over the champion",
    ]
    assert lines[3].startswith("  improvement over the champion: +0.")


def test_a_loss_improves_downwards_and_the_metric_of_the_gate_is_the_default(
    monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    evaluation = score(monkeypatch, Versions(BAD, GOOD, metric="log_loss"), data)

    assert evaluation.metric == "log_loss"
    assert evaluation.improvement is not None
    assert evaluation.improvement.value > 0


def test_the_champion_itself_has_a_score_only(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    evaluation = score(monkeypatch, Versions(GOOD), data, version="1")

    assert (evaluation.champion, evaluation.champion_score, evaluation.improvement) == (None, None, None)
    assert len(list(command.lines(evaluation))) == 2


@pytest.mark.parametrize(
    ("champion", "refused", "note"),
    [
        (LinearRegression().fit(DIABETES, PROGRESSION), "", "it predicts a number"),
        (BAD, "1", "version 1 is too old."),
    ],
)
def test_a_champion_that_cannot_be_compared_is_a_note(
    monkeypatch: pytest.MonkeyPatch, data: str, champion: BaseEstimator, refused: str, note: str
) -> None:
    evaluation = score(monkeypatch, Versions(champion, GOOD, refused=refused), data)

    assert evaluation.score.value > 0.9
    assert evaluation.champion_score is None
    assert evaluation.note.startswith(f"The champion cannot be compared: {note}")


def test_a_version_of_other_columns_is_an_error_that_names_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FRAME.drop(columns="mean radius").to_csv(tmp_path / "rows.csv", index=False)

    with pytest.raises(DataError, match=r"m version 2 cannot be scored on .*: it takes columns .* \('mean radius'\)"):
        score(monkeypatch, Versions(BAD, GOOD), str(tmp_path / "rows.csv"))


def test_a_metric_of_another_task_is_an_error(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    with pytest.raises(ParameterError, match="The metric 'rmse' is for regression"):
        score(monkeypatch, Versions(BAD, GOOD, metric="f1"), data, metric="rmse")


def test_a_version_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    with pytest.raises(ModelNotFoundError, match="There is no version 9"):
        score(monkeypatch, Versions(GOOD), data, version="9")


def test_rows_too_few_for_an_interval_have_a_score(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    FRAME.head(1).to_csv(tmp_path / "rows.csv", index=False)

    evaluation = score(monkeypatch, Versions(GOOD), str(tmp_path / "rows.csv"), version="1", metric="accuracy")

    assert np.isfinite(evaluation.score.value)
    assert list(command.lines(evaluation))[1].endswith("; the rows are too few for an interval")
