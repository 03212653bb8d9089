import hashlib
import inspect
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.datasets import make_classification
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    _base,
    _forest,
)

from app.errors import ParameterError
from app.training import distributed_forest
from app.training.ray_cluster import RayWorkers
from tests.support.json_object import JsonObject

VALUES, CLASS_INDICES = make_classification(300, 8, n_informative=5, n_classes=3, random_state=0)
ROWS = pd.DataFrame(VALUES, columns=list("abcdefgh"))
LABELS = pd.Series(np.array(["x", "y", "z"], dtype=object)[CLASS_INDICES])


def fit_in_slices(
    model: Any,  # noqa: ANN401 - one of the four forests
    target: pd.Series,
    weights: np.ndarray | None = None,
    *,
    features: pd.DataFrame = ROWS,
) -> Any:  # noqa: ANN401 - as the model
    """Fit the forest as Ray workers do, from read-only arrays."""
    template, labels = distributed_forest.encode(model, target)
    rows = np.ascontiguousarray(features, dtype=np.float32)
    rows.flags.writeable = labels.flags.writeable = False
    trees = [
        tree
        for offset, count in distributed_forest.tree_slices(model.n_estimators, 2)
        for tree in distributed_forest.fit_slice(template, rows, labels, weights, offset, count)
    ]
    shared = distributed_forest.writable_view(rows)
    return distributed_forest.assemble(model, trees, shared, target, weights, names=features.columns)


def attributes(forest: Any) -> JsonObject:  # noqa: ANN401 - one of the four forests
    """Every attribute of a fitted forest and of its trees, arrays as bytes."""

    def comparable(value: object) -> object:
        return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)

    states = [tree.tree_.__getstate__() for tree in forest.estimators_]
    scalars = {
        name: comparable(value) for name, value in vars(forest).items() if name not in {"estimators_", "classes_"}
    }
    return scalars | {
        "classes_": getattr(forest, "classes_", np.array([])).tolist(),
        "nodes": [[state["nodes"][field].tobytes() for field in state["nodes"].dtype.names] for state in states],
        "values": [state["values"].tobytes() for state in states],
        "trees": [tree.get_params() for tree in forest.estimators_],
    }


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(),
        RandomForestClassifier(class_weight="balanced", oob_score=True, max_samples=0.4),
        RandomForestClassifier(class_weight="balanced_subsample", criterion="entropy", max_depth=4),
        RandomForestClassifier(class_weight={"x": 3, "y": 0.5, "z": 1}, oob_score=True),
        RandomForestClassifier(class_weight="balanced_subsample", bootstrap=False),
        ExtraTreesClassifier(bootstrap=True, oob_score=True, max_samples=50),
        ExtraTreesClassifier(),
        RandomForestRegressor(oob_score=True, max_samples=50),
        ExtraTreesRegressor(min_samples_leaf=3),
    ],
    ids=str,
)
def test_a_forest_fitted_in_slices_is_equal_to_one_fit_bit_for_bit(model: Any) -> None:  # noqa: ANN401 - one of the four forests
    model = clone(model).set_params(n_estimators=23, random_state=3)
    target = LABELS if is_classifier(model) else ROWS["a"] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few trees for an out-of-bag score of every row
        single_fit = clone(model).fit(ROWS, target)

        sliced_fit = fit_in_slices(model, target)

    assert attributes(sliced_fit) == attributes(single_fit)


@pytest.mark.parametrize("model", [RandomForestClassifier(), ExtraTreesRegressor()], ids=str)
def test_slices_divide_missing_values_as_one_fit_does(model: Any) -> None:  # noqa: ANN401 - one of the four forests
    model = clone(model).set_params(n_estimators=23, random_state=3)
    target = LABELS if is_classifier(model) else ROWS["a"] * 2
    features = ROWS.where(np.random.default_rng(0).random(ROWS.shape) > 0.1)

    sliced_fit = fit_in_slices(model, target, features=features)

    assert attributes(sliced_fit) == attributes(clone(model).fit(features, target))


def test_sample_weights_reach_every_slice() -> None:
    model = RandomForestClassifier(11, class_weight="balanced", random_state=3)
    weights = np.linspace(0.1, 3, len(ROWS))

    sliced_fit = fit_in_slices(model, LABELS, weights)

    assert attributes(sliced_fit) == attributes(clone(model).fit(ROWS, LABELS, weights))


def test_the_scikit_learn_code_that_slices_depend_on_has_not_changed() -> None:
    functions = [
        _forest.BaseForest.fit,
        _forest._parallel_build_trees,
        _forest._generate_sample_indices,
        _forest.ForestClassifier._validate_y_class_weight,
        _base.BaseEnsemble._make_estimator,
        _base._set_random_states,
    ]

    digest = hashlib.sha256("".join(map(inspect.getsource, functions)).encode()).hexdigest()[:16]

    assert digest == "1d70c1cf3a10efbf", (
        "scikit-learn changed how a forest draws its seeds or warm-starts. Check that a slice still skips one draw per "
        "tree, that a fit without new trees sets every attribute, and that the test above passes. "
        "Then update the digest."
    )


@pytest.mark.parametrize(("tree_count", "parallel_tasks"), [(1, 1), (1, 16), (7, 2), (100, 2), (100, 3), (1000, 64)])
def test_slices_contain_every_tree_once_and_end_with_a_single_tree(tree_count: int, parallel_tasks: int) -> None:
    slices = list(distributed_forest.tree_slices(tree_count, parallel_tasks))

    assert [tree for offset, count in slices for tree in range(offset, offset + count)] == list(range(tree_count))
    assert slices[-1][1] == 1
    assert len(slices) >= min(tree_count, 2 * parallel_tasks)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (RandomForestClassifier(), "random_state=None"),
        (RandomForestClassifier(random_state=np.random.RandomState(1)), "Give a seed"),
        (RandomForestClassifier(random_state=1, warm_start=True), "Turn warm_start off"),
    ],
    ids=["no seed", "a random generator", "a warm start"],
)
def test_a_forest_without_a_fixed_seed_or_with_a_warm_start_is_refused(
    model: RandomForestClassifier, message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        distributed_forest.fit(model, ROWS, LABELS, workers=RayWorkers(total_cpus=2, cpus_per_task=1))
