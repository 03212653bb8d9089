import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.training.data import sources
from app.training.data.dataset import Dataset
from app.training.data.split import Split, check_folds, split_dataset


def random_dataset(row_count: int) -> Dataset:
    values = np.random.default_rng(0).normal(size=(row_count, 3))
    frame = pd.DataFrame(values, columns=list("abc"))
    return dataset_of(frame.assign(sold=frame["a"] > 0))


def dataset_of(frame: pd.DataFrame) -> Dataset:
    return sources.from_frame(frame, target="sold", name="houses", source="houses")


def row_ids(split: Split) -> tuple[set[float], set[float]]:
    """The training rows and the test rows, each identified by its value in column `a`, which is unique."""
    return set(split.train.features["a"]), set(split.test.features["a"])


def test_rows_stay_on_their_side_of_the_split_when_rows_are_added() -> None:
    dataset = random_dataset(2000)
    earlier_rows = dataset.rows.features.assign(sold=dataset.rows.target).head(1500)
    earlier_train, earlier_test = row_ids(split_dataset(dataset_of(earlier_rows), test_size=0.2, seed=5))

    train, test = row_ids(split_dataset(dataset, test_size=0.2, seed=5))

    assert len(test) == 400
    assert len(earlier_train & test) < 0.02 * 2000
    assert len(earlier_test & train) < 0.02 * 2000


def test_the_order_of_the_rows_does_not_change_the_split() -> None:
    dataset = random_dataset(200)
    shuffled = dataset_of(dataset.rows.features.assign(sold=dataset.rows.target).sample(frac=1, random_state=1))

    original_split, shuffled_split = (split_dataset(rows, test_size=0.2, seed=5) for rows in (dataset, shuffled))

    assert original_split.test.features.to_numpy().tolist() == shuffled_split.test.features.to_numpy().tolist()
    assert original_split.train.features.to_numpy().tolist() == shuffled_split.train.features.to_numpy().tolist()


def test_equal_rows_are_split_in_the_share_of_the_test_size() -> None:
    dataset = dataset_of(pd.DataFrame({"a": [0, 1] * 50, "sold": ["no", "yes"] * 50}))

    split = split_dataset(dataset, test_size=0.3, seed=1)

    assert split.test.target.value_counts().to_dict() == {"no": 15, "yes": 15}
    assert split.train.target.value_counts().to_dict() == {"no": 35, "yes": 35}


def test_the_test_rows_have_every_class_in_the_share_of_the_whole_data_set() -> None:
    dataset = sources.load_bundled("wine")

    split = split_dataset(dataset, test_size=0.25, seed=7)

    shares = dataset.rows.target.value_counts(normalize=True)
    test_shares = split.test.target.value_counts(normalize=True)
    assert split.test.features.index.intersection(split.train.features.index).empty
    assert (shares - test_shares).abs().max() < 0.02


def test_the_same_seed_holds_out_the_same_rows() -> None:
    dataset = sources.load_bundled("wine")

    first, repeated, other = (split_dataset(dataset, test_size=0.25, seed=seed) for seed in (7, 7, 8))

    assert first.test.features.index.tolist() == repeated.test.features.index.tolist()
    assert first.test.features.index.tolist() != other.test.features.index.tolist()


def test_a_class_with_too_few_rows_to_split_is_refused() -> None:
    frame = pd.DataFrame({"a": range(20), "sold": ["perhaps", *["no", "yes"] * 9, "no"]})

    with pytest.raises(DataError, match=r"'perhaps' \(1\).*at least 5 rows per class"):
        split_dataset(dataset_of(frame), test_size=0.2, seed=1)


def test_a_class_with_fewer_training_rows_than_folds_is_refused() -> None:
    split = split_dataset(random_dataset(40), test_size=0.5, seed=1)

    check_folds(split, 5)
    with pytest.raises(DataError, match=r"fewer training rows than there are folds.*at least 20"):
        check_folds(split, 20)
