"""Damaged parts of a skops file that scikit-learn, SciPy or skops would trust."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from app.errors import ModelRefusedError
from app.models import artifact
from app.models.estimator import build_estimator
from app.models.signature import Column, Columns

ROWS, LABELS = load_iris(return_X_y=True)
COLUMNS = Columns(Column(name=name) for name in "abcd")


def store(model: BaseEstimator, path: Path, change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
    """Store a model, and change the nodes of its file."""
    skops.io.dump(model, path / "original")
    with ZipFile(path / "original") as original, ZipFile(path / "model", "w") as changed:
        for name in original.namelist():
            content = original.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                change(schema)
                content = json.dumps(schema).encode()
            changed.writestr(name, content)
    return path / "model"


def find(node: object, loader: str) -> dict[str, Any]:
    """Find the first node of a kind."""
    values = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    if isinstance(node, dict) and node.get("__loader__") == loader:
        return node
    return next((found for value in values if (found := find(value, loader))), {})


def call_function(schema: dict[str, Any]) -> None:
    """Let the file call the function that it names, with an argument from the file."""
    argument = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "[1, 2]"}
    arguments = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": [argument] * 2}
    find(schema, "FunctionNode").update({"__loader__": "ConstructorFromReduceNode", "content": arguments})


def test_a_function_of_the_list_may_be_named(tmp_path: Path) -> None:
    model = make_pipeline(SelectKBest(f_classif, k=2), LogisticRegression(max_iter=500)).fit(ROWS, LABELS)

    loaded = artifact.load_estimator(store(model, tmp_path), "m")

    assert loaded[0].score_func is f_classif
    assert loaded.predict(ROWS).tolist() == model.predict(ROWS).tolist()


def test_a_file_that_calls_a_function_of_the_list_is_refused(tmp_path: Path) -> None:
    model = make_pipeline(SelectKBest(f_classif, k=2), LogisticRegression(max_iter=500)).fit(ROWS, LABELS)

    with pytest.raises(ModelRefusedError, match=r"types that are not trusted.*f_classif .ConstructorFromReduceNode"):
        artifact.load_estimator(store(model, tmp_path, call_function), "m")


def test_a_search_tree_is_built_again_whatever_the_file_says(tmp_path: Path) -> None:
    model = KNeighborsClassifier(algorithm="kd_tree", leaf_size=5).fit(ROWS, LABELS)
    expected = model.predict_proba(ROWS)
    state = list(model._tree.__getstate__())
    state[1] = np.full_like(state[1], 10**9)  # the index of each row
    model._tree.__setstate__(tuple(state))

    estimator = build_estimator(artifact.load_estimator(store(model, tmp_path), "m"), COLUMNS, label="m")

    assert np.array_equal(estimator.model.predict_proba(ROWS), expected)


def with_foreign_tree() -> BaseEstimator:
    model = LogisticRegression(max_iter=500).fit(ROWS, LABELS)
    model.extra = KNeighborsClassifier(algorithm="kd_tree").fit(ROWS, LABELS)._tree
    return model


def with_metric_object() -> BaseEstimator:
    return KNeighborsClassifier(algorithm="brute", metric=DistanceMetric.get_metric("euclidean")).fit(ROWS, LABELS)


def with_short_spline() -> BaseEstimator:
    model = make_pipeline(SplineTransformer(), LogisticRegression(max_iter=500)).fit(ROWS, LABELS)
    model[0].bsplines_[1]._c = model[0].bsplines_[1]._c[:2]
    return model


def with_narrow_centers() -> BaseEstimator:
    model = make_pipeline(KMeans(2, n_init=1, random_state=0), LogisticRegression()).fit(ROWS, LABELS)
    model[0].cluster_centers_ = model[0].cluster_centers_[:, :2]
    return model


def with_label_of_no_class() -> BaseEstimator:
    model = KNeighborsClassifier().fit(ROWS, np.stack([LABELS, LABELS], axis=1))
    model._y[3, 1] = 7
    return model


@pytest.mark.parametrize(
    ("build", "fault"),
    [
        (with_foreign_tree, "a search tree or a metric that does not belong"),
        (with_metric_object, "a search tree or a metric that does not belong"),
        (with_short_spline, "knots and coefficients of a spline"),
        (with_narrow_centers, "centers of clusters"),
        (with_label_of_no_class, "do not fit its columns and classes"),
    ],
)
def test_a_damaged_part_is_refused(build: Callable[[], BaseEstimator], fault: str, tmp_path: Path) -> None:
    model = artifact.load_estimator(store(build(), tmp_path), "m")

    with pytest.raises(ModelRefusedError, match=f"m is damaged: .*{fault}"):
        build_estimator(model, COLUMNS, label="m")
