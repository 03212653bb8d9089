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
from app.training.ray_cluster import Cluster

VALUES, CODES = make_classification(300, 8, n_informative=5, n_classes=3, random_state=0)
ROWS = pd.DataFrame(VALUES, columns=list("abcdefgh"))
LABELS = pd.Series(np.array(["x", "y", "z"], dtype=object)[CODES])


def fitted_in_slices(model: Any, target: pd.Series) -> Any:  # noqa: ANN401 - one of the four forests
    """The forest as workers fit it, from arrays that nobody may write to."""
    template, labels = distributed_forest.encoded(model, target)
    rows = np.ascontiguousarray(ROWS, dtype=np.float32)
    rows.flags.writeable = labels.flags.writeable = False
    trees = [
        tree
        for first, count in distributed_forest.slices(model.n_estimators, 2)
        for tree in distributed_forest.fit_slice(template, rows, labels, first, count)
    ]
    return distributed_forest.assembled(model, trees, pd.DataFrame(rows, columns=ROWS.columns, copy=False), target)


def parts(fitted: Any) -> dict[str, Any]:  # noqa: ANN401
    """Everything that a fitted forest holds, arrays as their bytes."""

    def plain(value: object) -> object:
        return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else repr(value)

    trees = [tree.tree_.__getstate__() for tree in fitted.estimators_]
    held = {name: plain(value) for name, value in vars(fitted).items() if name not in {"estimators_", "classes_"}}
    return held | {
        "classes_": getattr(fitted, "classes_", np.array([])).tolist(),
        "nodes": [[state["nodes"][field].tobytes() for field in state["nodes"].dtype.names] for state in trees],
        "values": [state["values"].tobytes() for state in trees],
        "trees": [tree.get_params() for tree in fitted.estimators_],
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
def test_a_forest_in_slices_is_that_of_one_fit_bit_for_bit(model: Any) -> None:  # noqa: ANN401
    model = clone(model).set_params(n_estimators=23, random_state=3)
    target = LABELS if is_classifier(model) else ROWS["a"] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # too few trees for an out-of-bag score of every row
        alone = clone(model).fit(ROWS, target)

        sliced = fitted_in_slices(model, target)

    assert parts(sliced) == parts(alone)


def test_the_parts_of_scikit_learn_that_slices_lean_on_are_those_that_were_checked() -> None:
    used = [
        _forest.BaseForest.fit,
        _forest._parallel_build_trees,
        _forest._generate_sample_indices,
        _forest.ForestClassifier._validate_y_class_weight,
        _base.BaseEnsemble._make_estimator,
        _base._set_random_states,
    ]

    digest = hashlib.sha256("".join(map(inspect.getsource, used)).encode()).hexdigest()[:16]

    assert digest == "1d70c1cf3a10efbf", (
        "scikit-learn changed how a forest draws its seeds or warm-starts. See that a slice still skips one draw a "
        "tree, that a fit without new trees sets every attribute, and that the test above passes; then set the digest."
    )


@pytest.mark.parametrize(("trees", "lanes"), [(1, 1), (1, 16), (7, 2), (100, 2), (100, 3), (1000, 64)])
def test_slices_cover_every_tree_once_and_end_with_single_ones(trees: int, lanes: int) -> None:
    cut = list(distributed_forest.slices(trees, lanes))

    assert [tree for first, count in cut for tree in range(first, first + count)] == list(range(trees))
    assert cut[-1][1] == 1
    assert len(cut) >= min(trees, 2 * lanes)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (RandomForestClassifier(), "random_state=None"),
        (RandomForestClassifier(random_state=np.random.RandomState(1)), "Give a seed"),
        (RandomForestClassifier(random_state=1, warm_start=True), "Turn warm_start off"),
    ],
    ids=["no seed", "a generator", "a warm start"],
)
def test_a_forest_that_slices_cannot_repeat_is_refused(model: RandomForestClassifier, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        distributed_forest.fit(model, ROWS, LABELS, cluster=Cluster(cpus=2, share=1))
