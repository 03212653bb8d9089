"""The trees of XGBoost and LightGBM as flat arrays give their library's bits, float32 or float64."""

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.base import BaseEstimator

from app.models.formats import xgboost_trees
from app.models.formats.lightgbm_format import BoosterClassifier
from app.models.trees.index_check import measure
from app.models.trees.xgboost_dump import flatten_xgboost
from tests.support.boosting_data import (
    CANCER,
    DIABETES,
    DIGITS,
    WINE,
    Data,
    assert_equal,
    compiled,
    hard_rows,
    with_gaps,
)


def xgb(data: Data, **params: Any) -> tuple[BaseEstimator, Data]:  # noqa: ANN401 - parameters of the library
    kind = xgboost.XGBRegressor if data[1].dtype.kind == "f" else xgboost.XGBClassifier
    return kind(**{"n_estimators": 12, "n_jobs": 1} | params), data


def lgbm(data: Data, **params: Any) -> tuple[BaseEstimator, Data]:  # noqa: ANN401 - parameters of the library
    kind = lightgbm.LGBMRegressor if data[1].dtype.kind == "f" else lightgbm.LGBMClassifier
    return kind(**{"n_estimators": 12, "n_jobs": 1, "verbose": -1} | params), data


def with_zeros(data: Data) -> Data:
    """Replace a fifth of the values by zeros, and take a tenth away."""
    rows, target = data
    return with_gaps(np.where(np.random.default_rng(3).random(rows.shape) < 0.2, 0, rows)), target


GAPS = (with_gaps(CANCER[0]), CANCER[1])
MODELS = {
    "XGBoost, two classes": xgb(CANCER),
    "XGBoost, three classes": xgb(WINE),
    "XGBoost, ten classes": xgb(DIGITS, n_estimators=3),
    "XGBoost, with gaps": xgb(GAPS),
    "XGBoost, squared error": xgb(DIABETES),
    "XGBoost, poisson": xgb(DIABETES, objective="count:poisson"),
    "XGBoost, gamma": xgb(DIABETES, objective="reg:gamma"),
    "XGBoost, quantile": xgb(DIABETES, objective="reg:quantileerror", quantile_alpha=0.9),
    "XGBoost, forest": (xgboost.XGBRFClassifier(n_estimators=12, n_jobs=1), CANCER),
    "LightGBM, two classes": lgbm(CANCER),
    "LightGBM, three classes": lgbm(WINE),
    "LightGBM, ten classes": lgbm(DIGITS, n_estimators=3),
    "LightGBM, with gaps": lgbm(GAPS),
    "LightGBM, zero is missing": lgbm(with_zeros(CANCER), zero_as_missing=True),
    "LightGBM, nothing is missing": lgbm(GAPS, use_missing=False),
    "LightGBM, squared error": lgbm(DIABETES),
    "LightGBM, poisson": lgbm(DIABETES, objective="poisson"),
    "LightGBM, only leaves": lgbm(WINE, min_child_samples=1000),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # the tests predict matrices
@pytest.mark.parametrize("name", MODELS)
def test_a_booster_equals_its_library_in_every_bit(name: str) -> None:
    model, (rows, target) = MODELS[name]
    predictor = compiled(model.fit(rows, target), rows)

    assert predictor.flat is not None
    for batch in (
        rows,
        rows[:1],
        hard_rows(rows, seed=1),
        with_gaps(hard_rows(rows, seed=2)),
        with_zeros((rows, rows))[0],
    ):
        assert_equal(predictor, model, batch)


def test_rounds_after_the_best_one_do_not_predict() -> None:
    rows, target = CANCER
    model = xgboost.XGBClassifier(n_estimators=40, early_stopping_rounds=2, n_jobs=1)
    model.fit(rows[:300], target[:300], eval_set=[(rows[300:], target[300:])], verbose=False)
    predictor = compiled(model, rows)

    assert predictor.flat is not None
    assert predictor.tree_walks(1) == model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert_equal(predictor, model, rows)


def test_a_booster_of_lightgbm_without_an_estimator_is_compiled() -> None:
    model, (rows, target) = MODELS["LightGBM, two classes"]
    bare = BoosterClassifier(model.fit(rows, target).booster_)
    predictor = compiled(bare, rows)

    assert predictor.flat is not None
    assert_equal(predictor, bare, rows)


CATEGORIES = np.c_[np.round(WINE[0][:, 0]) % 5, WINE[0][:, 1:]]
LEFT = {
    "dropped trees": xgb(CANCER, booster="dart", rate_drop=0.5),
    "linear": xgb(DIABETES, booster="gblinear"),
    "another missing value": xgb(CANCER, missing=0.0),
    "another objective of XGBoost": xgb(CANCER, objective="binary:hinge"),
    "several numbers in a leaf": xgb(WINE, multi_strategy="multi_output_tree", tree_method="hist"),
    "categories of XGBoost": xgb(
        (CATEGORIES, WINE[1]), feature_types=["c"] + ["q"] * 12, enable_categorical=True, max_cat_to_onehot=1
    ),
    "categories of LightGBM": lgbm(
        (CATEGORIES[:, :1], WINE[1]), min_child_samples=2, min_data_per_group=2, cat_smooth=0
    ),
    "linear leaves": lgbm(DIABETES, linear_tree=True),
    "another slope": lgbm(CANCER, sigmoid=2.0),
    "a random forest of LightGBM": lgbm(CANCER, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # the tests predict matrices
@pytest.mark.parametrize("name", LEFT)
def test_boosters_are_left_to_their_library_for(name: str) -> None:
    model, (rows, target) = LEFT[name]
    options = {"categorical_feature": [0]} if name == "categories of LightGBM" else {}

    assert compiled(model.fit(rows, target, **options), rows).flat is None


def document() -> dict[str, Any]:
    model, (rows, target) = MODELS["XGBoost, three classes"]
    return xgboost_trees.document(model.fit(rows, target).get_booster())


def damage(field: str, value: int) -> Callable[[dict[str, Any]], None]:
    def change(model: dict[str, Any]) -> None:
        model["trees"][4][field][0] = value

    return change


DAMAGES = {
    "a column too many": damage("split_indices", 13),
    "an output too many": lambda model: model["tree_info"].__setitem__(2, 3),
    "a node that is its own child": damage("left_children", 0),
    "a node with two parents": damage("left_children", 2),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_document_gives_no_arrays_that_may_be_walked(name: str) -> None:
    damaged = document()
    DAMAGES[name](damaged["learner"]["gradient_booster"]["model"])

    flat = flatten_xgboost(damaged, rounds=0)

    assert flat is None or measure(flat.trees, outputs=3) is None
