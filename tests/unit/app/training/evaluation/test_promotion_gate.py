from typing import cast

import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion
from mlflow.types import DataType
from sklearn.base import ClassifierMixin
from sklearn.linear_model import RidgeClassifier
from sklearn.tree import DecisionTreeClassifier

from app.errors import ModelRefusedError
from app.models.artifact import Artifact
from app.models.registry import HELD_OUT_TAG, Registry
from app.models.signature import Column, Columns
from app.training.evaluation import promotion_gate
from app.training.evaluation.promotion_gate import HeldOut, Terms
from app.training.evaluation.resampled_metrics import Answers

GENERATOR = np.random.default_rng(7)
FEATURES = pd.DataFrame(GENERATOR.normal(size=(300, 3)), columns=list("abc"))
TARGET = pd.Series(np.where(FEATURES["a"] + FEATURES["b"] > 0, "yes", "no"), dtype=object)
HOW = "0.2 of the rows, seed 42"
ROWS = HeldOut(features=FEATURES, target=TARGET, shares={"yes": 0.4, "no": 0.6}, how=HOW)
CHAMPION = ModelVersion(name="m", version="3", creation_timestamp=0)
TERMS = Terms(metric="balanced_accuracy", margin=0.0, force=False)


class Champions:
    """A registry that holds one version."""

    def __init__(self, model: ClassifierMixin, columns: list[str], *, how: str = HOW, refused: str = "") -> None:
        self.model = model
        self.columns = columns
        self.how = how
        self.refused = refused

    def fetch(self, _version: ModelVersion) -> Artifact:
        if self.refused:
            raise ModelRefusedError(self.refused)
        example = FEATURES.reindex(columns=self.columns, fill_value=0.0).head(2)
        return Artifact(
            model=self.model,
            columns=Columns(Column(name=name, type=DataType.double) for name in self.columns),
            example=example,
            example_predictions=None,
            example_probabilities=None,
            example_labels=[],
        )

    def tags(self, _version: ModelVersion) -> dict[str, str]:
        return {HELD_OUT_TAG: self.how}


def answers(model: ClassifierMixin) -> Answers:
    return Answers(classes=model.classes_, probabilities=model.predict_proba(FEATURES))


def tree(depth: int, columns: list[str] | None = None, target: pd.Series = TARGET) -> DecisionTreeClassifier:
    rows = FEATURES[columns] if columns else FEATURES
    return DecisionTreeClassifier(max_depth=depth, random_state=1).fit(rows, target)


def judged(challenger: ClassifierMixin, champions: Champions | None, terms: Terms = TERMS) -> promotion_gate.Decision:
    version = CHAMPION if champions is not None else None
    return promotion_gate.judge(
        answers(challenger), ROWS, terms, registry=cast("Registry", champions), champion=version
    )


OTHER = FEATURES.set_axis(["a", "x", "y"], axis=1)
GOOD, POOR = tree(12), tree(1)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc", "log_loss", "brier"])
def test_the_better_model_passes_and_the_worse_one_does_not(metric: str) -> None:
    terms = Terms(metric=metric, margin=0.0, force=False)

    up = judged(GOOD, Champions(POOR, list("abc")), terms)
    down = judged(POOR, Champions(GOOD, list("abc")), terms)

    assert (up.verdict, down.verdict) == ("passed", "failed")
    assert up.difference is not None
    assert up.low is not None
    assert up.high is not None
    assert 0 < up.low < up.difference < up.high
    assert down.difference == pytest.approx(-up.difference)
    assert (up.challenger_score, up.opponent_score) == (down.opponent_score, down.challenger_score)
    assert "version 3, the champion" in up.reason


def test_the_same_model_again_does_not_pass() -> None:
    decision = judged(GOOD, Champions(GOOD, list("abc")))

    assert (decision.verdict, decision.difference, decision.low, decision.high) == ("failed", 0, 0, 0)


def test_a_better_model_fails_a_margin_beyond_the_interval() -> None:
    low = judged(GOOD, Champions(POOR, list("abc"))).low or 0

    inside, beyond = (
        judged(GOOD, Champions(POOR, list("abc")), Terms(metric=TERMS.metric, margin=margin, force=False))
        for margin in (low - 0.001, low + 0.001)
    )

    assert (inside.verdict, beyond.verdict) == ("passed", "failed")


def test_the_interval_holds_the_spread_of_fresh_samples() -> None:
    better, worse = tree(4), tree(3)
    decision = judged(better, Champions(worse, list("abc")))
    fresh = np.random.default_rng(1)
    is_right = [(model.predict(FEATURES) == TARGET).to_numpy() for model in (better, worse)]
    samples = fresh.integers(300, size=(2000, 300))
    differences = (is_right[0][samples] - 1.0 * is_right[1][samples]).mean(axis=1)

    low, high = np.percentile(differences, (2.5, 97.5))

    assert decision.low == pytest.approx(low, abs=0.015)
    assert decision.high == pytest.approx(high, abs=0.015)


def test_the_first_model_has_to_beat_the_most_frequent_class() -> None:
    nothing = DecisionTreeClassifier(max_depth=1).fit(FEATURES * 0, TARGET)

    first, dull = judged(POOR, None), judged(nothing, None)

    assert (first.verdict, first.opponent_score) == ("passed", 0.5)
    assert (dull.verdict, dull.difference) == ("failed", 0)
    assert "the most frequent class" in first.reason


def test_force_passes_and_says_what_was_found() -> None:
    decision = judged(POOR, Champions(GOOD, list("abc")), Terms(metric="accuracy", margin=0.0, force=True))

    assert decision.verdict == "passed"
    assert "does not pass" in decision.reason
    assert "--force" in decision.reason
    assert (decision.difference or 0) < 0


@pytest.mark.parametrize(
    ("champions", "message"),
    [
        (
            Champions(DecisionTreeClassifier().fit(OTHER, TARGET), list(OTHER)),
            "columns that these rows do not have ('x', 'y')",
        ),
        (Champions(tree(2, target=TARGET.map({"yes": "1", "no": "0"})), list("abc")), "none of these rows' classes"),
        (Champions(RidgeClassifier().fit(FEATURES, TARGET), list("abc")), "no probabilities"),
    ],
    ids=["other columns", "other classes", "no probabilities"],
)
def test_a_champion_of_another_problem_stays_unless_forced(champions: Champions, message: str) -> None:
    decision = judged(GOOD, champions)
    forced = judged(GOOD, champions, Terms(metric="accuracy", margin=0.0, force=True))

    assert (decision.verdict, decision.opponent_score, decision.low) == ("failed", None, None)
    assert forced.verdict == "passed"
    assert message in decision.reason


def test_a_champion_of_fewer_columns_is_asked_about_those() -> None:
    columns = ["b", "a"]

    decision = judged(GOOD, Champions(tree(2, columns), columns))

    expected = (tree(2, columns).predict(FEATURES[columns]) == TARGET).groupby(TARGET).mean().mean()
    assert decision.opponent_score == pytest.approx(expected)


def test_a_champion_that_cannot_serve_holds_nothing_up() -> None:
    decision = judged(GOOD, Champions(GOOD, list("abc"), refused="It was fitted by scikit-learn 0.9."))

    assert decision.verdict == "passed"
    assert decision.opponent == promotion_gate.MOST_FREQUENT
    assert "cannot serve here: It was fitted by scikit-learn 0.9" in decision.reason


@pytest.mark.parametrize(("how", "is_noted"), [(HOW, False), ("0.2 of the rows, seed 1", True)])
def test_a_champion_that_may_know_the_rows_is_noted(how: str, is_noted: bool) -> None:  # noqa: FBT001
    decision = judged(GOOD, Champions(POOR, list("abc"), how=how))

    assert ("may have been trained on some of these rows" in decision.reason) == is_noted


def test_the_record_holds_both_scores_and_the_interval() -> None:
    decision = judged(GOOD, Champions(POOR, list("abc")))

    tags = {"gate.challenger_score", "gate.opponent_score", "gate.low", "gate.high", "gate.margin", "gate.reason"}
    assert tags <= decision.tags().keys()
    assert decision.scores()["gate_difference"] == decision.difference
