from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from sklearn.base import ClassifierMixin
from sklearn.tree import DecisionTreeClassifier

from app.models.registry import Registry
from app.training.data.dataset import Rows
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.gate_decision import GateConfig, GateDecision, HeldOutRows
from app.training.evaluation.predictions import predict
from app.training.evaluation.promotion_gate import judge
from tests.support.fake_registry import CHAMPION, SPLIT, FakeRegistry

GENERATOR = np.random.default_rng(7)
COLUMNS = ["a", "b", "c"]
FEATURES = pd.DataFrame(GENERATOR.normal(size=(300, 3)), columns=COLUMNS)
TARGET = pd.Series(np.where(FEATURES["a"] + FEATURES["b"] > 0, "yes", "no"), dtype=object)
ROWS = HeldOutRows(
    rows=Rows(features=FEATURES, target=TARGET),
    baseline=Baseline.of(Rows(features=FEATURES, target=TARGET), "accuracy"),
    split_description=SPLIT,
)
CONFIG = GateConfig(metric="balanced_accuracy", margin=0.0, force=False)
FORCE = GateConfig(metric="accuracy", margin=0.0, force=True)


def version_3(model: ClassifierMixin, columns: list[str] = COLUMNS, *, split: str = SPLIT) -> FakeRegistry:
    """Return a registry whose champion is a model."""
    return FakeRegistry(model, FEATURES.reindex(columns=columns, fill_value=0.0), split=split)


def tree(depth: int, columns: list[str] = COLUMNS, target: pd.Series = TARGET) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=depth, random_state=1).fit(FEATURES[columns], target)


def decide(
    challenger: ClassifierMixin,
    registry: FakeRegistry | None,
    config: GateConfig = CONFIG,
    *,
    rows: HeldOutRows = ROWS,
) -> GateDecision:
    """Judge a model against the version of a registry, or without a champion."""
    champion = CHAMPION if registry is not None else None
    return judge(
        predict(challenger, FEATURES),
        rows,
        config,
        registry=cast("Registry", registry),
        champion=champion,
        shows_values=True,
    )


GOOD, POOR = tree(12), tree(1)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "roc_auc", "log_loss", "brier"])
def test_a_better_model_passes_and_a_worse_model_fails(metric: str) -> None:
    config = GateConfig(metric=metric, margin=0.0, force=False)

    better = decide(GOOD, version_3(POOR), config)
    worse = decide(POOR, version_3(GOOD), config)

    assert (better.verdict, worse.verdict) == ("passed", "failed")
    assert better.difference is not None
    assert better.low is not None
    assert better.high is not None
    assert 0 < better.low < better.difference < better.high
    assert worse.difference == pytest.approx(-better.difference)
    assert (better.challenger_score, better.opponent_score) == (worse.opponent_score, worse.challenger_score)
    assert "version 3, the champion" in better.reason


def test_a_model_equal_to_the_champion_fails() -> None:
    decision = decide(GOOD, version_3(GOOD))

    assert (decision.verdict, decision.difference, decision.low, decision.high) == ("failed", 0, 0, 0)


def test_a_better_model_fails_if_the_margin_is_above_the_lower_end_of_the_interval() -> None:
    low = decide(GOOD, version_3(POOR)).low or 0

    below, above = (
        decide(GOOD, version_3(POOR), GateConfig(metric=CONFIG.metric, margin=margin, force=False))
        for margin in (low - 0.001, low + 0.001)
    )

    assert (below.verdict, above.verdict) == ("passed", "failed")


@pytest.mark.parametrize(("margin", "verdict"), [(-0.02, "passed"), (0.0, "failed"), (0.02, "failed")])
def test_a_model_equal_to_the_champion_passes_only_a_margin_below_0(margin: float, verdict: str) -> None:
    decision = decide(GOOD, version_3(GOOD), GateConfig(metric="accuracy", margin=margin, force=False))

    assert decision.verdict == verdict
    assert f"the margin of {margin:g}" in decision.reason


def test_a_model_that_is_clearly_worse_fails_a_margin_below_0() -> None:
    worse = decide(POOR, version_3(GOOD), GateConfig(metric="accuracy", margin=-0.02, force=False))
    barely = decide(POOR, version_3(GOOD), GateConfig(metric="accuracy", margin=(worse.low or 0) - 1e-6, force=False))

    assert (worse.verdict, barely.verdict) == ("failed", "passed")


def test_the_interval_matches_a_plain_bootstrap_with_another_seed() -> None:
    better, worse = tree(4), tree(3)
    decision = decide(better, version_3(worse))
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
    decision = decide(POOR, version_3(GOOD), FORCE)

    assert (decision.verdict, decision.allows_promotion) == ("forced", True)
    assert decision.tags()["gate.verdict"] == "forced"
    assert "does not pass" in decision.reason
    assert "--force" in decision.reason
    assert (decision.difference or 0) < 0


def test_force_is_not_recorded_for_a_model_that_passes_without_it() -> None:
    decision = decide(GOOD, version_3(POOR), FORCE)

    assert decision.verdict == "passed"
    assert "--force" not in decision.reason


def test_a_champion_with_fewer_columns_predicts_from_its_columns() -> None:
    columns = ["b", "a"]

    decision = decide(GOOD, version_3(tree(2, columns), columns))

    expected = (tree(2, columns).predict(FEATURES[columns]) == TARGET).groupby(TARGET).mean().mean()
    assert decision.opponent_score == pytest.approx(expected)


def test_a_champion_that_cannot_be_loaded_is_replaced_by_a_model_that_beats_the_most_frequent_class() -> None:
    decision = decide(GOOD, FakeRegistry(GOOD, FEATURES, refusal="It was fitted by scikit-learn 0.9."))

    assert decision.verdict == "passed"
    assert decision.opponent == "answering the most frequent class"
    assert "cannot serve here: It was fitted by scikit-learn 0.9" in decision.reason


@pytest.mark.parametrize(
    ("held_out", "split", "has_note"),
    [
        (SPLIT, SPLIT, False),
        (SPLIT, "0.2 of the rows, seed 1", True),
        ("rows after 2026-05-01 in column day", "rows after 2026-04-30 in column day", False),
        ("rows after 2026-05-01 in column day", "rows after 2026-05-02 in column day", True),
    ],
)
def test_the_reason_says_if_the_champion_may_have_been_trained_on_the_rows(
    held_out: str,
    split: str,
    has_note: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    decision = decide(GOOD, version_3(POOR, split=split), rows=replace(ROWS, split_description=held_out))

    assert ("may have been trained on some of these rows" in decision.reason) == has_note


def test_tags_and_metrics_have_both_scores_and_the_interval() -> None:
    decision = decide(GOOD, version_3(POOR))

    tags = {"gate.challenger_score", "gate.opponent_score", "gate.low", "gate.high", "gate.margin", "gate.reason"}
    assert tags <= decision.tags().keys()
    assert decision.metrics()["gate_difference"] == decision.difference
