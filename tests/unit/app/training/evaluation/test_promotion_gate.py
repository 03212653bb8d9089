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
from app.training.data.dataset import Rows
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.predictions import predict
from app.training.evaluation.promotion_gate import GateConfig, GateDecision, HeldOutRows, judge

GENERATOR = np.random.default_rng(7)
COLUMNS = ["a", "b", "c"]
FEATURES = pd.DataFrame(GENERATOR.normal(size=(300, 3)), columns=COLUMNS)
TARGET = pd.Series(np.where(FEATURES["a"] + FEATURES["b"] > 0, "yes", "no"), dtype=object)
SPLIT = "0.2 of the rows, seed 42"
ROWS = HeldOutRows(
    rows=Rows(features=FEATURES, target=TARGET),
    baseline=Baseline.of(Rows(features=FEATURES, target=TARGET), "accuracy"),
    split_description=SPLIT,
)
CHAMPION = ModelVersion(name="m", version="3", creation_timestamp=0)
CONFIG = GateConfig(metric="balanced_accuracy", margin=0.0, force=False)
FORCE = GateConfig(metric="accuracy", margin=0.0, force=True)


class FakeRegistry:
    """A registry that has one version."""

    def __init__(
        self, model: ClassifierMixin, columns: list[str] = COLUMNS, *, split: str = SPLIT, refusal: str = ""
    ) -> None:
        self.model = model
        self.columns = columns
        self.split = split
        self.refusal = refusal

    def fetch(self, _version: ModelVersion) -> Artifact:
        if self.refusal:
            raise ModelRefusedError(self.refusal)
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
        return {HELD_OUT_TAG: self.split}


def tree(depth: int, columns: list[str] = COLUMNS, target: pd.Series = TARGET) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=depth, random_state=1).fit(FEATURES[columns], target)


def decide(challenger: ClassifierMixin, registry: FakeRegistry | None, config: GateConfig = CONFIG) -> GateDecision:
    """Judge a model against the version of a registry, or without a champion."""
    champion = CHAMPION if registry is not None else None
    return judge(predict(challenger, FEATURES), ROWS, config, registry=cast("Registry", registry), champion=champion)


RENAMED_FEATURES = FEATURES.set_axis(["a", "x", "y"], axis=1)
GOOD, POOR = tree(12), tree(1)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc", "log_loss", "brier"])
def test_a_better_model_passes_and_a_worse_model_fails(metric: str) -> None:
    config = GateConfig(metric=metric, margin=0.0, force=False)

    better = decide(GOOD, FakeRegistry(POOR), config)
    worse = decide(POOR, FakeRegistry(GOOD), config)

    assert (better.verdict, worse.verdict) == ("passed", "failed")
    assert better.difference is not None
    assert better.low is not None
    assert better.high is not None
    assert 0 < better.low < better.difference < better.high
    assert worse.difference == pytest.approx(-better.difference)
    assert (better.challenger_score, better.opponent_score) == (worse.opponent_score, worse.challenger_score)
    assert "version 3, the champion" in better.reason


def test_a_model_equal_to_the_champion_fails() -> None:
    decision = decide(GOOD, FakeRegistry(GOOD))

    assert (decision.verdict, decision.difference, decision.low, decision.high) == ("failed", 0, 0, 0)


def test_a_better_model_fails_if_the_margin_is_above_the_lower_end_of_the_interval() -> None:
    low = decide(GOOD, FakeRegistry(POOR)).low or 0

    below, above = (
        decide(GOOD, FakeRegistry(POOR), GateConfig(metric=CONFIG.metric, margin=margin, force=False))
        for margin in (low - 0.001, low + 0.001)
    )

    assert (below.verdict, above.verdict) == ("passed", "failed")


def test_the_interval_matches_a_plain_bootstrap_with_another_seed() -> None:
    better, worse = tree(4), tree(3)
    decision = decide(better, FakeRegistry(worse))
    is_correct = [(model.predict(FEATURES) == TARGET).to_numpy() for model in (better, worse)]
    resamples = np.random.default_rng(1).integers(300, size=(2000, 300))
    differences = (is_correct[0][resamples] - 1.0 * is_correct[1][resamples]).mean(axis=1)

    low, high = np.percentile(differences, (2.5, 97.5))

    assert decision.low == pytest.approx(low, abs=0.015)
    assert decision.high == pytest.approx(high, abs=0.015)


def test_the_first_model_must_be_better_than_the_most_frequent_class() -> None:
    constant_model = DecisionTreeClassifier(max_depth=1).fit(FEATURES * 0, TARGET)

    better, equal = decide(POOR, None), decide(constant_model, None)

    assert (better.verdict, better.opponent_score) == ("passed", 0.5)
    assert (equal.verdict, equal.difference) == ("failed", 0)
    assert "the most frequent class" in better.reason


def test_force_is_the_verdict_of_a_worse_model_and_the_reason_keeps_the_comparison() -> None:
    decision = decide(POOR, FakeRegistry(GOOD), FORCE)

    assert (decision.verdict, decision.allows_promotion) == ("forced", True)
    assert decision.tags()["gate.verdict"] == "forced"
    assert "does not pass" in decision.reason
    assert "--force" in decision.reason
    assert (decision.difference or 0) < 0


def test_force_is_not_recorded_for_a_model_that_passes_without_it() -> None:
    decision = decide(GOOD, FakeRegistry(POOR), FORCE)

    assert decision.verdict == "passed"
    assert "--force" not in decision.reason


@pytest.mark.parametrize(
    ("registry", "message"),
    [
        (
            FakeRegistry(DecisionTreeClassifier().fit(RENAMED_FEATURES, TARGET), list(RENAMED_FEATURES)),
            "columns that these rows do not have ('x', 'y')",
        ),
        (FakeRegistry(tree(2, target=TARGET.map({"yes": "1", "no": "0"}))), "none of these rows' classes"),
        (FakeRegistry(RidgeClassifier().fit(FEATURES, TARGET)), "no probabilities"),
    ],
    ids=["other columns", "other classes", "no probabilities"],
)
def test_a_champion_that_cannot_be_compared_stays_without_force(registry: FakeRegistry, message: str) -> None:
    decision = decide(GOOD, registry)
    forced = decide(GOOD, registry, FORCE)

    assert (decision.verdict, decision.opponent_score, decision.low) == ("failed", None, None)
    assert (forced.verdict, decision.allows_promotion) == ("forced", False)
    assert message in decision.reason


def test_a_champion_with_fewer_columns_predicts_from_its_columns() -> None:
    columns = ["b", "a"]

    decision = decide(GOOD, FakeRegistry(tree(2, columns), columns))

    expected = (tree(2, columns).predict(FEATURES[columns]) == TARGET).groupby(TARGET).mean().mean()
    assert decision.opponent_score == pytest.approx(expected)


def test_a_champion_that_cannot_be_loaded_is_replaced_by_a_model_that_beats_the_most_frequent_class() -> None:
    decision = decide(GOOD, FakeRegistry(GOOD, refusal="It was fitted by scikit-learn 0.9."))

    assert decision.verdict == "passed"
    assert decision.opponent == "answering the most frequent class"
    assert "cannot serve here: It was fitted by scikit-learn 0.9" in decision.reason


@pytest.mark.parametrize(("split", "has_note"), [(SPLIT, False), ("0.2 of the rows, seed 1", True)])
def test_the_reason_says_if_the_champion_may_have_been_trained_on_the_rows(split: str, has_note: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    decision = decide(GOOD, FakeRegistry(POOR, split=split))

    assert ("may have been trained on some of these rows" in decision.reason) == has_note


def test_tags_and_metrics_have_both_scores_and_the_interval() -> None:
    decision = decide(GOOD, FakeRegistry(POOR))

    tags = {"gate.challenger_score", "gate.opponent_score", "gate.low", "gate.high", "gate.margin", "gate.reason"}
    assert tags <= decision.tags().keys()
    assert decision.metrics()["gate_difference"] == decision.difference
