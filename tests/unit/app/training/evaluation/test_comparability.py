"""A champion that solves another problem stays, and the reason says why and what to do."""

from typing import cast

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from app.models.registry import Registry
from app.training.data.dataset import Rows
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.gate_decision import GateConfig, GateDecision, HeldOutRows
from app.training.evaluation.predictions import predict
from app.training.evaluation.promotion_gate import judge
from tests.support.fake_registry import CHAMPION, SPLIT, FakeRegistry

DIABETES, PROGRESSION = load_diabetes(return_X_y=True, as_frame=True)
WINE, KIND = load_wine(return_X_y=True, as_frame=True)


def decide(
    challenger: BaseEstimator,
    champion: tuple[BaseEstimator, pd.DataFrame],
    rows: tuple[pd.DataFrame, pd.Series],
    metric: str,
    *,
    force: bool = False,
    shows_values: bool = True,
) -> GateDecision:
    """Judge a fitted model against a champion and its columns."""
    held_out = Rows(features=rows[0], target=rows[1])
    return judge(
        predict(challenger, rows[0]),
        HeldOutRows(rows=held_out, baseline=Baseline.of(held_out, metric), split_description=SPLIT),
        GateConfig(metric=metric, margin=0.0, force=force),
        registry=cast("Registry", FakeRegistry(*champion)),
        champion=CHAMPION,
        shows_values=shows_values,
    )


CLASSIFIER = make_pipeline(StandardScaler(), LogisticRegression()).fit(WINE, KIND)
REGRESSOR = LinearRegression().fit(DIABETES, PROGRESSION)
RENAMED = DIABETES.rename(columns={"bmi": "mass", "bp": "pressure"})
WITH_TEXT = DIABETES.assign(sex=np.where(DIABETES["sex"] > 0, "f", "m"))
WITH_GAPS = DIABETES.mask(DIABETES > 0.1)
OF_CITY = DIABETES.assign(sex="Lima")


@pytest.mark.parametrize(
    ("challenger", "champion", "rows", "metric", "message"),
    [
        (REGRESSOR, (CLASSIFIER, WINE), (DIABETES, PROGRESSION), "rmse", "predicts classes, and the new model"),
        (CLASSIFIER, (REGRESSOR, DIABETES), (WINE, KIND), "f1", "predicts a number, and the new model"),
        (
            REGRESSOR,
            (LinearRegression().fit(RENAMED, PROGRESSION), RENAMED),
            (DIABETES, PROGRESSION),
            "mae",
            "takes columns that these rows do not have ('mass', 'pressure')",
        ),
        (
            CLASSIFIER,
            (RidgeClassifier().fit(WINE, KIND + 5), WINE),
            (WINE, KIND),
            "accuracy",
            "knows none of these rows' classes",
        ),
    ],
    ids=["classes", "a number", "columns", "other classes"],
)
def test_a_champion_of_another_problem_stays_and_the_reason_names_the_ways_out(
    challenger: BaseEstimator,
    champion: tuple[BaseEstimator, pd.DataFrame],
    rows: tuple[pd.DataFrame, pd.Series],
    metric: str,
    message: str,
) -> None:
    decision = decide(challenger, champion, rows, metric)
    forced = decide(challenger, champion, rows, metric, force=True)

    assert (decision.verdict, decision.opponent_score, decision.low) == ("failed", None, None)
    assert (forced.verdict, decision.allows_promotion, forced.allows_promotion) == ("forced", False, True)
    assert f"version 3, the champion, {message}" in decision.reason
    assert "under another name (--name). --force replaces the champion." in decision.reason


def test_a_champion_without_probabilities_can_be_compared_by_its_answers() -> None:
    champion = (RidgeClassifier().fit(WINE, KIND), WINE)

    by_probability = decide(CLASSIFIER, champion, (WINE, KIND), "log_loss")
    by_answer = decide(CLASSIFIER, champion, (WINE, KIND), "balanced_accuracy")

    assert by_probability.opponent_score is None
    assert "gives no probabilities, which log_loss needs" in by_probability.reason
    assert "--metric balanced_accuracy" in by_probability.reason
    assert by_answer.opponent_score == pytest.approx(RidgeClassifier().fit(WINE, KIND).score(WINE, KIND), abs=0.02)


def test_a_champion_that_takes_numbers_cannot_predict_text() -> None:
    challenger = make_pipeline(OrdinalEncoder(), HistGradientBoostingRegressor(max_iter=2)).fit(WITH_TEXT, PROGRESSION)

    decision = decide(challenger, (REGRESSOR, DIABETES), (WITH_TEXT, PROGRESSION), "rmse")

    assert decision.opponent_score is None
    assert "takes numbers in columns where these rows hold something else ('sex')" in decision.reason


def test_a_champion_that_takes_no_missing_values_cannot_predict_them() -> None:
    challenger = HistGradientBoostingRegressor(max_iter=2).fit(WITH_GAPS, PROGRESSION)

    decision = decide(challenger, (REGRESSOR, DIABETES), (WITH_GAPS, PROGRESSION), "rmse")

    assert decision.opponent_score is None
    assert "cannot predict these rows (ValueError: Input X contains NaN.)" in decision.reason
    assert "missing values or text" in decision.reason


def test_a_champion_of_text_gets_its_columns_as_they_are() -> None:
    pipeline = make_pipeline(OrdinalEncoder(), LinearRegression()).fit(WITH_TEXT, PROGRESSION)

    decision = decide(pipeline, (pipeline, WITH_TEXT), (WITH_TEXT, PROGRESSION), "r2")

    assert decision.difference == 0
    assert decision.opponent_score == pytest.approx(pipeline.score(WITH_TEXT, PROGRESSION))


def test_a_champion_that_does_not_know_a_category_cannot_be_compared() -> None:
    champion = make_pipeline(OrdinalEncoder(), LinearRegression()).fit(WITH_TEXT, PROGRESSION)
    challenger = make_pipeline(OrdinalEncoder(), LinearRegression()).fit(OF_CITY, PROGRESSION)

    decision, without_values = (
        decide(challenger, (champion, WITH_TEXT), (OF_CITY, PROGRESSION), "rmse", shows_values=is_shown)
        for is_shown in (True, False)
    )

    assert "cannot predict these rows (ValueError: Found unknown categories ['Lima']" in decision.reason
    assert "cannot predict these rows (ValueError), so the two" in without_values.reason
    assert "Lima" not in without_values.reason


def test_a_champion_with_another_unit_of_the_target_is_pointed_out() -> None:
    champion = LinearRegression().fit(DIABETES, PROGRESSION * 1000)
    comparable = LinearRegression().fit(DIABETES, PROGRESSION)

    decision = decide(REGRESSOR, (champion, DIABETES), (DIABETES, PROGRESSION), "rmse")
    ordinary = decide(REGRESSOR, (comparable, DIABETES), (DIABETES, PROGRESSION), "rmse")

    assert "the champion is worse than answering the mean of the training rows" in decision.reason
    assert "another unit" in decision.reason
    assert "another unit" not in ordinary.reason
