"""Regressors, row weights and groups in the promotion gate, on data that scikit-learn ships."""

from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge

from app.models.registry import Registry
from app.training.data.dataset import Rows
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.gate_decision import GateConfig, GateDecision, HeldOutRows
from app.training.evaluation.predictions import predict
from app.training.evaluation.promotion_gate import judge
from tests.support.fake_registry import CHAMPION, SPLIT, FakeRegistry

FEATURES, TARGET = load_diabetes(return_X_y=True, as_frame=True)
ALL = Rows(features=FEATURES, target=TARGET)
IS_TEST = np.arange(len(TARGET)) % 2 == 0
TRAIN, TEST = ALL.take(~IS_TEST), ALL.take(IS_TEST)


def fit(model: BaseEstimator) -> BaseEstimator:
    return model.fit(TRAIN.features, TRAIN.target)


GOOD, POOR = fit(LinearRegression()), fit(Ridge(alpha=50))


def decide(
    challenger: BaseEstimator, champion: BaseEstimator | None, metric: str, *, margin: float = 0, rows: Rows = TEST
) -> GateDecision:
    return judge(
        predict(challenger, rows.features),
        HeldOutRows(rows=rows, baseline=Baseline.of(TRAIN, metric), split_description=SPLIT),
        GateConfig(metric=metric, margin=margin, force=False),
        registry=cast("Registry", FakeRegistry(champion, FEATURES)),
        champion=CHAMPION if champion is not None else None,
        shows_values=True,
    )


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2", "pinball", "pinball_0.8"])
def test_a_better_regressor_passes_and_a_worse_one_fails(metric: str) -> None:
    better, worse = decide(GOOD, POOR, metric), decide(POOR, GOOD, metric)

    assert (better.verdict, worse.verdict) == ("passed", "failed")
    assert better.difference is not None
    assert better.low is not None
    assert better.high is not None
    assert 0 < better.low < better.difference < better.high
    assert worse.difference == pytest.approx(-better.difference)


def test_the_scores_are_those_of_scikit_learn() -> None:
    decision = decide(GOOD, POOR, "rmse")

    expected = [metrics.root_mean_squared_error(TEST.target, model.predict(TEST.features)) for model in (GOOD, POOR)]
    assert [decision.challenger_score, decision.opponent_score] == pytest.approx(expected)


def test_an_equally_good_regressor_passes_if_it_need_not_be_better() -> None:
    other = fit(Ridge(alpha=0.01))

    better, not_worse = (decide(GOOD, other, "rmse", margin=margin) for margin in (0, -1))

    assert (better.verdict, not_worse.verdict) == ("failed", "passed")
    assert better.difference == not_worse.difference


@pytest.mark.parametrize(
    ("metric", "constant", "opponent"),
    [
        ("rmse", DummyRegressor(strategy="mean"), "answering the mean of the training rows"),
        ("r2", DummyRegressor(strategy="mean"), "answering the mean of the training rows"),
        ("mae", DummyRegressor(strategy="median"), "answering the median of the training rows"),
        (
            "pinball_0.8",
            DummyRegressor(strategy="quantile", quantile=0.8),
            "answering the 0.8 quantile of the training rows",
        ),
    ],
)
def test_the_first_regressor_must_be_better_than_the_best_constant(
    metric: str, constant: BaseEstimator, opponent: str
) -> None:
    good = fit(QuantileRegressor(quantile=0.8, alpha=0)) if metric == "pinball_0.8" else GOOD

    first, equal = decide(good, None, metric), decide(fit(constant), None, metric)

    assert (first.verdict, equal.verdict, first.opponent) == ("passed", "failed", opponent)
    assert equal.difference == pytest.approx(0, abs=0.01)
    assert opponent in first.reason


def test_a_quantile_is_judged_by_its_own_level() -> None:
    high, middle = (fit(QuantileRegressor(quantile=level, alpha=0)) for level in (0.9, 0.5))

    assert decide(high, middle, "pinball_0.9").verdict == "passed"
    assert decide(high, middle, "pinball").verdict == "failed"


def test_the_weights_of_the_rows_decide_which_model_is_better() -> None:
    low_half = (TEST.target < TEST.target.median()).to_numpy()
    low_answers = fit(DummyRegressor(strategy="constant", constant=TEST.target[low_half].mean()))
    high_answers = fit(DummyRegressor(strategy="constant", constant=TEST.target[~low_half].mean()))
    heavy_low = replace(TEST, weights=pd.Series(np.where(low_half, 50.0, 1.0), index=TEST.target.index))
    heavy_high = replace(TEST, weights=pd.Series(np.where(low_half, 1.0, 50.0), index=TEST.target.index))

    decisions = [decide(low_answers, high_answers, "mae", rows=rows) for rows in (heavy_low, heavy_high)]

    assert [decision.verdict for decision in decisions] == ["passed", "failed"]
    assert decisions[0].challenger_score == pytest.approx(
        metrics.mean_absolute_error(TEST.target, low_answers.predict(TEST.features), sample_weight=heavy_low.weights)
    )


def test_the_constant_of_a_first_model_counts_the_weights_of_the_training_rows() -> None:
    weights = pd.Series(np.linspace(1, 9, len(TRAIN)), index=TRAIN.target.index)
    weighted = replace(TRAIN, weights=weights)

    mean, shares = Baseline.of(weighted, "rmse"), Baseline.of(replace(weighted, target=TRAIN.target > 100), "f1")

    assert mean.answers == pytest.approx([np.average(TRAIN.target, weights=weights)])
    is_high = (TRAIN.target > 100).to_numpy()
    assert shares.answers == [True, False]
    assert shares.shares[0] == pytest.approx(weights[is_high].sum() / weights.sum())


def test_groups_make_the_interval_wider_where_their_rows_are_alike() -> None:
    repeated = TEST.take(np.tile(np.arange(len(TEST)), 8))
    grouped = replace(repeated, groups=pd.Series(repeated.features.index, index=repeated.target.index))

    by_row, by_group, once = (decide(GOOD, POOR, "rmse", rows=rows) for rows in (repeated, grouped, TEST))

    widths = [(decision.high or 0) - (decision.low or 0) for decision in (by_row, by_group, once)]
    assert widths[1] == pytest.approx(widths[2], rel=0.15)
    assert widths[0] < 0.5 * widths[2]
    assert f"in {len(TEST)} groups" in by_group.reason


def test_held_out_rows_of_one_group_do_not_pass() -> None:
    rows = replace(TEST, groups=pd.Series("only", index=TEST.target.index))

    decision = decide(GOOD, POOR, "rmse", rows=rows)

    assert (decision.verdict, decision.low) == ("failed", None)
    assert "all of one group" in decision.reason


def test_no_difference_is_written_without_a_minus() -> None:
    decision = decide(GOOD, GOOD, "rmse", margin=-1)

    assert "difference +0.0000, 95% interval +0.0000 to +0.0000. It passes" in decision.reason
