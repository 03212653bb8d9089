import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.training.data import sources, split
from app.training.data.sources import Dataset


def measured(rows: int, *, seed: int = 0) -> Dataset:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(generator.normal(size=(rows, 3)), columns=list("abc"))
    return sources.from_frame(frame.assign(sold=frame["a"] > 0), target="sold", name="m", source="m")


def sides(dataset: Dataset) -> tuple[set[float], set[float]]:
    """The training rows and the held-out ones, by a value that no two of them share."""
    parts = split.split(dataset, test_size=0.2, seed=5)
    return set(parts.train_features["a"]), set(parts.test_features["a"])


def test_a_row_stays_on_its_side_when_others_come() -> None:
    whole = measured(2000)
    frame = whole.features.assign(sold=whole.target)
    before_trained, before_held_out = sides(sources.from_frame(frame.head(1500), target="sold", name="m", source="m"))

    trained, held_out = sides(whole)

    assert len(held_out) == 400
    assert len(before_trained & held_out) < 0.02 * 2000
    assert len(before_held_out & trained) < 0.02 * 2000


def test_the_order_of_the_rows_changes_nothing() -> None:
    dataset = measured(200)
    frame = dataset.features.assign(sold=dataset.target).sample(frac=1, random_state=1)
    shuffled = sources.from_frame(frame, target="sold", name="m", source="m")

    one, other = (split.split(given, test_size=0.2, seed=5) for given in (dataset, shuffled))

    assert one.test_features.to_numpy().tolist() == other.test_features.to_numpy().tolist()
    assert one.train_features.to_numpy().tolist() == other.train_features.to_numpy().tolist()


def test_equal_rows_stand_on_both_sides() -> None:
    frame = pd.DataFrame({"a": [0, 1] * 50, "sold": ["no", "yes"] * 50})

    parts = split.split(sources.from_frame(frame, target="sold", name="m", source="m"), test_size=0.3, seed=1)

    assert parts.test_target.value_counts().to_dict() == {"no": 15, "yes": 15}
    assert parts.train_target.value_counts().to_dict() == {"no": 35, "yes": 35}


def test_a_class_with_fewer_training_rows_than_folds_is_refused() -> None:
    parts = split.split(measured(40), test_size=0.5, seed=1)

    split.check_folds(parts, 5)
    with pytest.raises(DataError, match=r"fewer rows to train on than there are folds.*at least 20"):
        split.check_folds(parts, 20)
