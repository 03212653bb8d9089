"""The compiled forest equals scikit-learn in every bit. `tests/benchmark` compares many more rows."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree._tree import Tree

from app.models.trees.flat_model import FlatModel
from app.models.trees.forests import flatten_forest
from app.models.trees.kernel import add_leaves
from tests.support.threshold_rows import rows_near_thresholds

VALUES, CLASSES = make_classification(300, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=1)
VALUES_WITH_NANS = np.where(np.random.default_rng(2).random(VALUES.shape) < 0.2, np.nan, VALUES)
SIZES = (0, 1, 7, 8, 9, 600)
"""Numbers of rows: none, fewer than `LANES`, as many as `LANES`, more than `LANES`, more than `BLOCK`."""


def fitted(model: BaseEstimator, *, rows: np.ndarray = VALUES, is_binary: bool = False) -> BaseEstimator:
    labels = CLASSES > 0 if is_binary else CLASSES
    target = rows[:, 0] * 3 if hasattr(model, "criterion") and "error" in model.criterion else labels
    return model.set_params(n_estimators=7, random_state=3, n_jobs=1).fit(rows, np.nan_to_num(target))


def predict(model: BaseEstimator, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    flat = flattened(model)
    outputs = np.zeros((len(rows), len(flat.baseline)))
    largest = add_leaves(flat.trees, rows, outputs, divisor=flat.divisor)
    return None if largest is None else (largest, outputs)


def flattened(model: BaseEstimator) -> FlatModel:
    flat = flatten_forest(model)
    assert flat is not None
    return flat


FORESTS = {
    "three classes": fitted(RandomForestClassifier()),
    "impure leaves": fitted(RandomForestClassifier(min_samples_leaf=9, class_weight="balanced")),
    "two classes": fitted(ExtraTreesClassifier(), is_binary=True),
    "shallow": fitted(ExtraTreesClassifier(max_depth=1)),
    "only leaves": fitted(RandomForestClassifier(max_depth=1, min_samples_leaf=200)),
    "fitted with NaN": fitted(RandomForestClassifier(), rows=VALUES_WITH_NANS),
    "regressor": fitted(RandomForestRegressor(min_samples_leaf=3)),
    "extra regressor": fitted(ExtraTreesRegressor(criterion="absolute_error", max_depth=4)),
}


@pytest.mark.parametrize("has_missing", [False, True], ids=["complete", "with missing values"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORESTS)
def test_a_flat_forest_equals_scikit_learn_in_every_bit(name: str, size: int, *, has_missing: bool) -> None:
    model = FORESTS[name]
    rows = rows_near_thresholds(model, max(SIZES), seed=4)[-size:] if size else np.empty((0, 5))
    if has_missing:
        rows[np.random.default_rng(6).random(rows.shape) < 0.2] = np.nan

    result = predict(model, rows)

    assert result is not None
    largest, outputs = result
    if hasattr(model, "classes_"):
        expected = model.predict_proba(rows) if size else np.empty((0, len(model.classes_)))
        assert model.classes_[largest].tolist() == (model.predict(rows).tolist() if size else [])
    else:
        expected = model.predict(rows)[:, None] if size else np.empty((0, 1))
    assert outputs.tobytes() == expected.tobytes()


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_rows_that_are_not_finite_in_float32_are_left_to_scikit_learn(value: float) -> None:
    rows = VALUES[:9].copy()
    rows[8, 4] = value
    rows_with_gaps = rows.copy()
    rows_with_gaps[3, 3] = np.nan

    assert predict(FORESTS["fitted with NaN"], rows) is None
    assert predict(FORESTS["fitted with NaN"], rows_with_gaps) is None


def test_rows_of_another_width_are_left_to_scikit_learn() -> None:
    assert predict(FORESTS["regressor"], VALUES[:, :4]) is None


@pytest.mark.parametrize("threshold", [np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-60, -1e-60, 0.0])
def test_a_threshold_of_any_value_splits_rows_as_in_scikit_learn(threshold: float) -> None:
    model = fitted(RandomForestClassifier(max_depth=9))
    for member in model.estimators_:
        change(member.tree_, "threshold", threshold)
    rows = np.array([[value] * 5 for value in (0.0, -0.0, 1e37, -1e37, 1e-45, -1e-45, 1e-60, -1e-60)])

    result = predict(model, rows)

    assert result is not None
    assert result[1].tobytes() == model.predict_proba(rows).tobytes()


def test_a_tree_whose_nodes_share_a_child_is_not_flattened() -> None:
    model = fitted(RandomForestClassifier())
    tree = model.estimators_[2].tree_
    change(tree, "left_child", tree.children_right[0])

    assert flatten_forest(model) is None


def test_a_tree_with_nan_values_is_not_flattened() -> None:
    model = fitted(RandomForestClassifier())
    model.estimators_[2].tree_.value[-1, 0, 0] = np.nan

    assert flatten_forest(model) is None


def test_a_nan_threshold_sends_every_row_to_the_right_as_in_scikit_learn() -> None:
    model = fitted(RandomForestClassifier())
    draw = np.random.default_rng(5)
    for tree in (member.tree_ for member in model.estimators_):
        tree.threshold[draw.random(tree.node_count) < 0.1] = np.nan
    rows = rows_near_thresholds(FORESTS["three classes"], max(SIZES), seed=4)

    result = predict(model, rows)

    assert result is not None
    assert np.array_equal(result[1], model.predict_proba(rows))


def change(tree: Tree, field: str, value: Any) -> None:  # noqa: ANN401 - fields have different types
    """Overwrite a field of a tree's root, as in a damaged file."""
    state = tree.__getstate__()
    state["nodes"][field][0] = value
    tree.__setstate__(state)
