import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.base import ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from app.errors import ModelRefusedError
from app.models.artifact import Artifact
from app.models.predictor import compile_model
from app.models.signature import Column, Columns


def make_artifact(model: ClassifierMixin) -> Artifact:
    """Fit a classifier to four features, and build its artifact."""
    values, labels = make_classification(
        n_samples=200, n_features=4, n_informative=3, n_redundant=0, n_classes=3, n_clusters_per_class=1, random_state=3
    )
    frame = pd.DataFrame(values, columns=list("abcd"))
    model.fit(frame, np.array(["x", "y", "z"])[labels])
    example = frame.head(5)
    return Artifact(
        model=model,
        columns=Columns(Column(name=name) for name in "abcd"),
        example=example,
        example_predictions=None,
        example_probabilities=model.predict_proba(example),
        example_labels=["x"] * 5,
    )


@pytest.mark.parametrize("estimator_class", [RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier])
def test_predictions_equal_those_of_scikit_learn(estimator_class: type[ClassifierMixin]) -> None:
    artifact = make_artifact(estimator_class(random_state=1))
    rows = np.random.default_rng(5).normal(size=(500, 4))
    frame = pd.DataFrame(rows, columns=list("abcd"))
    expected_labels, expected = artifact.model.predict(frame), artifact.model.predict_proba(frame)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = compile_model(artifact, label="m").predict(rows)

    assert answers.predictions.tolist() == expected_labels.tolist()
    assert answers.probabilities is not None
    assert answers.probabilities.tolist() == expected.tolist()


def damage(tree: Tree, change: Callable[[np.ndarray], None]) -> None:
    """Change the nodes of a tree, as in a damaged file."""
    state = tree.__getstate__()
    change(state["nodes"])
    tree.__setstate__(state)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 10_000), ("right_child", 0), ("left_child", -7), ("feature", 4), ("feature", -1)],
)
def test_a_tree_with_an_index_outside_its_arrays_is_refused_before_any_prediction(field: str, value: int) -> None:
    artifact = make_artifact(RandomForestClassifier(n_estimators=3, random_state=1))

    def change(nodes: np.ndarray) -> None:
        nodes[field][0] = value

    damage(artifact.model.estimators_[1].tree_, change)

    with pytest.raises(ModelRefusedError, match="m is damaged: a tree has an index outside its arrays"):
        compile_model(artifact, label="m")


def test_a_model_with_other_predictions_than_stored_is_refused() -> None:
    artifact = make_artifact(RandomForestClassifier(n_estimators=3, random_state=1))

    def change(nodes: np.ndarray) -> None:
        nodes["threshold"] += 1

    for tree in artifact.model.estimators_:
        damage(tree.tree_, change)

    with pytest.raises(ModelRefusedError, match="does not predict its input example"):
        compile_model(artifact, label="m")
