"""A damaged part is found wherever the object graph of a model holds it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC, SVR, NuSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from app.errors import ModelRefusedError
from app.models.soundness import check_indices

ROWS = np.random.default_rng(1).normal(size=(90, 3))
CLASSES = (ROWS[:, 0] > 0).astype(int) + (ROWS[:, 1] > 0)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=2, max_depth=3, random_state=1)


def tree() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=3, random_state=1)


HOLDERS: dict[str, tuple[BaseEstimator, Callable[[Any], Tree]]] = {
    "calibrated forest": (
        CalibratedClassifierCV(forest(), cv=2),
        lambda model: model.calibrated_classifiers_[1].estimator.estimators_[1].tree_,
    ),
    "bagging": (BaggingClassifier(tree(), n_estimators=2), lambda model: model.estimators_[1].tree_),
    "AdaBoost": (AdaBoostClassifier(tree(), n_estimators=2), lambda model: model.estimators_[0].tree_),
    "gradient boosting": (
        GradientBoostingClassifier(n_estimators=2, max_depth=2),
        lambda model: model.estimators_[1, 2].tree_,
    ),
    "one model per class": (OneVsRestClassifier(forest()), lambda model: model.estimators_[2].estimators_[0].tree_),
    "stacking": (
        StackingClassifier([("a", forest())], LogisticRegression(), cv=2),
        lambda model: model.estimators_[0].estimators_[1].tree_,
    ),
    "a selection of columns": (
        make_pipeline(SelectFromModel(forest(), threshold=-1), LogisticRegression()),
        lambda model: model[0].estimator_.estimators_[0].tree_,
    ),
}


def damage(part: Tree, field: str, value: int) -> None:
    state = part.__getstate__()
    state["nodes"][field][0] = value
    part.__setstate__(state)


@pytest.mark.parametrize(("field", "value"), [("left_child", 10_000), ("right_child", 0), ("feature", 3)])
@pytest.mark.parametrize("name", HOLDERS)
def test_a_damaged_tree_is_found_in(name: str, field: str, value: int) -> None:
    model, find = HOLDERS[name]
    model.fit(ROWS, CLASSES)
    check_indices(model, label="m")
    damage(find(model), field, value)

    with pytest.raises(ModelRefusedError, match="m is damaged: a tree has an index outside its arrays"):
        check_indices(model, label="m")


def test_a_tree_whose_rows_have_an_unknown_width_is_refused() -> None:
    model = tree().fit(ROWS, CLASSES)
    del model.n_features_in_

    with pytest.raises(ModelRefusedError, match="a tree has an index outside"):
        check_indices(model, label="m")


def shorten(name: str) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, getattr(model, name)[..., :-1])


def enlarge(name: str, value: int) -> Callable[[Any], None]:
    def change(model: Any) -> None:  # noqa: ANN401 - any estimator
        getattr(model, name)[0] = value

    return change


SVM_CHANGES: dict[str, Callable[[Any], None]] = {
    "a support vector less": lambda model: setattr(model, "support_vectors_", model.support_vectors_[:-1]),
    "a column less": shorten("support_vectors_"),
    "too many vectors of a class": enlarge("_n_support", 10_000),
    "a negative number of vectors": enlarge("_n_support", -1),
    "a class more": lambda model: setattr(model, "_n_support", np.append(model._n_support, 1).astype(np.int32)),
    "a coefficient less": shorten("_dual_coef_"),
    "a constant less": shorten("_intercept_"),
    "a row that was not fitted": enlarge("support_", 90),
    "a missing array": lambda model: delattr(model, "support_"),
}


@pytest.mark.parametrize("model", [SVC(), NuSVC(nu=0.1), SVC(kernel="linear")], ids=str)
@pytest.mark.parametrize("name", SVM_CHANGES)
def test_a_support_vector_machine_is_refused_for(name: str, model: BaseEstimator) -> None:
    model.fit(ROWS, CLASSES)
    holder = {"members": [model]}
    check_indices(holder, label="m")
    SVM_CHANGES[name](model)

    with pytest.raises(ModelRefusedError, match="m is damaged"):
        check_indices(holder, label="m")


@pytest.mark.parametrize(
    "model", [SVC().fit(scipy.sparse.csr_matrix(ROWS), CLASSES), SVR().fit(ROWS, ROWS[:, 0])], ids=["sparse", "SVR"]
)
def test_sound_support_vector_machines_pass(model: BaseEstimator) -> None:
    check_indices(model, label="m")


@pytest.mark.parametrize("name", ["indices", "indptr"])
def test_a_sparse_matrix_with_an_index_outside_its_shape_is_refused(name: str) -> None:
    model = SVC().fit(scipy.sparse.csr_matrix(ROWS), CLASSES)
    getattr(model.support_vectors_, name)[1] = 10_000

    with pytest.raises(ModelRefusedError, match="m is damaged: a sparse matrix"):
        check_indices(model, label="m")


@pytest.mark.parametrize("change", [shorten("_fit_X"), enlarge("_y", 3), enlarge("_y", -1), shorten("_y")])
def test_neighbours_that_fit_neither_columns_nor_classes_are_refused(change: Callable[[Any], None]) -> None:
    model = KNeighborsClassifier(algorithm="brute").fit(ROWS, CLASSES)
    check_indices(model, label="m")
    change(model)

    with pytest.raises(ModelRefusedError, match="m is damaged: the stored rows"):
        check_indices(model, label="m")


def test_gradient_boosting_with_more_trees_than_outputs_is_refused() -> None:
    model = GradientBoostingClassifier(n_estimators=2, max_depth=2).fit(ROWS, CLASSES)
    model.estimators_ = np.hstack([model.estimators_, model.estimators_])

    with pytest.raises(ModelRefusedError, match="another number of trees than outputs"):
        check_indices(model, label="m")


def test_a_histogram_tree_that_splits_by_a_column_without_categories_is_refused() -> None:
    rows = np.c_[np.repeat([0, 1, 2], 30), ROWS[:, 1:]]
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0], min_samples_leaf=2).fit(
        rows, np.repeat([0, 1, 0], 30)
    )
    check_indices(model, label="m")
    assert any(tree.nodes["is_categorical"].any() for [tree] in model._predictors)
    model._bin_mapper.is_categorical_[:] = 0

    with pytest.raises(ModelRefusedError, match="has no categories"):
        check_indices(model, label="m")


class Slotted:
    __slots__ = ("part",)

    def __init__(self, part: object) -> None:
        self.part = part


def test_parts_in_slots_and_object_arrays_are_found_and_cycles_end() -> None:
    model = forest().fit(ROWS, CLASSES)
    damage(model.estimators_[0].tree_, "feature", 7)
    holder = np.empty(1, dtype=object)
    holder[0] = {"slotted": Slotted(model), "itself": holder}

    with pytest.raises(ModelRefusedError, match="a tree has an index outside"):
        check_indices(holder, label="m")
