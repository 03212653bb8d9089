"""Arrays with one damaged element are refused, or walk to the end without leaving an array."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from app.models.trees.flat_model import FlatModel
from app.models.trees.flat_trees import BY_CATEGORY, CATEGORY, LEAF, FlatTrees
from app.models.trees.forests import flatten_forest
from app.models.trees.histogram_boosting import flatten_histograms
from app.models.trees.index_check import measure
from app.models.trees.kernel import add_leaves

ROWS, CLASSES = load_iris(return_X_y=True)
KINDS = np.zeros(4, dtype=np.uint8)


def required(flat: FlatModel | None) -> FlatModel:
    assert flat is not None
    return flat


FOREST = required(flatten_forest(RandomForestClassifier(5, random_state=0).fit(ROWS, CLASSES)))
BOOSTING = required(
    flatten_histograms(
        HistGradientBoostingClassifier(max_iter=5, categorical_features=[1, 3], min_samples_leaf=5).fit(ROWS, CLASSES),
        KINDS,
    )
)
FLATS = {"forest": FOREST, "boosting with categories": BOOSTING}


@pytest.mark.parametrize("name", FLATS)
def test_sound_trees_get_the_depths_that_they_had(name: str) -> None:
    trees = FLATS[name].trees
    unmeasured = trees.trees.copy()
    unmeasured["depth"] = 1_000_000

    measured = measure(replace(trees, trees=unmeasured), outputs=3)

    assert measured is not None
    assert measured.tolist() == trees.trees.tolist()


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("inner", "left", 0),
        ("inner", "left", 10_000),
        ("inner", "feature", 5),
        ("inner", "threshold", np.nan),
        ("leaf", "left", 0),
        ("leaf", "feature", 5),
    ],
)
@pytest.mark.parametrize("name", FLATS)
def test_nodes_with_an_index_outside_the_arrays_are_refused(name: str, kind: str, field: str, value: float) -> None:
    trees = FLATS[name].trees
    nodes = trees.nodes.copy()
    nodes[field][np.flatnonzero((nodes["threshold"] == LEAF) == (kind == "leaf"))[3]] = value

    assert measure(replace(trees, nodes=nodes), outputs=3) is None


@pytest.mark.parametrize("roots", [[1], [0, 0], [0, 10_000_000], [3, 1]])
def test_roots_outside_the_nodes_are_refused(roots: list[int]) -> None:
    trees = np.zeros(len(roots), dtype=FOREST.trees.trees.dtype)
    trees["root"] = roots

    assert measure(replace(FOREST.trees, trees=trees), outputs=3) is None


def changed(array: np.ndarray, value: float, index: int = 0) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


def with_output(trees: FlatTrees) -> FlatTrees:
    array = trees.trees.copy()
    array["output"][1] = 3
    return replace(trees, trees=array)


def with_set(value: float) -> Callable[[FlatTrees], FlatTrees]:
    def change(trees: FlatTrees) -> FlatTrees:
        nodes = trees.nodes.copy()
        nodes["threshold"][np.flatnonzero(trees.flags & BY_CATEGORY)[0]] = value
        return replace(trees, nodes=nodes)

    return change


DAMAGES: dict[str, Callable[[FlatTrees], FlatTrees]] = {
    "an output too many": with_output,
    "a set that does not exist": with_set(1e6),
    "a negative set": with_set(-1),
    "half a set": with_set(0.5),
    "a split by categories of a column that has none": lambda trees: replace(trees, kinds=np.zeros_like(trees.kinds)),
    "an unknown kind of column": lambda trees: replace(trees, kinds=changed(trees.kinds, 4)),
    "no kind for a column": lambda trees: replace(trees, kinds=trees.kinds[:-1]),
    "more categories than there are": lambda trees: replace(
        trees, category_ends=changed(trees.category_ends, len(trees.categories) + 1, -1)
    ),
    "categories that end before they start": lambda trees: replace(
        trees, category_ends=changed(trees.category_ends, len(trees.categories) - 1, 0)
    ),
    "more codes than a set has bits": lambda trees: replace(
        trees,
        categories=np.arange(300.0),
        category_ends=np.array([0, 280, 280, 300], dtype=np.uint32),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_trees_are_refused_for(name: str) -> None:
    assert BOOSTING.trees.kinds.tolist() == [0, CATEGORY, 0, CATEGORY]

    assert measure(DAMAGES[name](BOOSTING.trees), outputs=3) is None


@pytest.mark.parametrize("name", FLATS)
def test_trees_with_a_random_damage_are_refused_or_walk_to_the_end(name: str) -> None:
    trees, random = FLATS[name].trees, np.random.default_rng(1)
    arrays = {name: getattr(trees, name) for name in ("nodes", "flags", "trees", "kinds", "category_ends", "sets")}
    rows = np.where(random.random(ROWS.shape) < 0.2, np.nan, ROWS)
    outcomes = []
    for _ in range(300):
        choice = random.choice([name for name, array in arrays.items() if array.size])
        content = bytearray(arrays[choice].tobytes())
        content[random.integers(len(content))] = random.integers(256)
        array = np.frombuffer(bytes(content), dtype=arrays[choice].dtype).reshape(arrays[choice].shape)
        measured = measure(replace(trees, **{choice: array}), outputs=3)
        outcomes.append(measured is not None)
        if measured is not None:
            damaged = replace(trees, **{choice: array} | {"trees": measured})
            for batch in (rows, ROWS, ROWS[:1]):
                add_leaves(damaged, batch, np.zeros((len(batch), 3)))

    assert {True, False} == set(outcomes)
