import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.training.data import sources
from app.training.data.dataset import Dataset
from app.training.data.split import Split, split_dataset, was_held_out


def random_dataset(row_count: int) -> Dataset:
    values = np.random.default_rng(0).normal(size=(row_count, 3))
    frame = pd.DataFrame(values, columns=list("abc"))
    return dataset_of(frame.assign(sold=np.where(frame["a"] > 0, "yes", "no")))


def dataset_of(frame: pd.DataFrame, **roles: str) -> Dataset:
    return sources.from_frame(frame, target="sold", name="houses", source="houses", **roles)


def split(dataset: Dataset, *, test_size: float = 0.2, seed: int = 5) -> Split:
    return split_dataset(dataset, task="classification", test_size=test_size, seed=seed)


def row_ids(split: Split) -> tuple[set[float], set[float]]:
    """The training rows and the test rows, each identified by its value in column `a`, which is unique."""
    return set(split.train.features["a"]), set(split.test.features["a"])


def test_no_row_changes_its_side_when_rows_are_added() -> None:
    dataset = random_dataset(2000)
    earlier_rows = dataset.rows.features.assign(sold=dataset.rows.target).head(1500)

    earlier_train, earlier_test = row_ids(split(dataset_of(earlier_rows)))
    train, test = row_ids(split(dataset))

    assert earlier_train < train
    assert earlier_test < test
    assert len(test) == pytest.approx(400, abs=60)


@pytest.mark.parametrize("name", ["breast-cancer", "iris", "wine", "digits"])
def test_a_bundled_data_set_can_be_split_with_any_seed(name: str) -> None:
    dataset = sources.load_bundled(name)

    shares = [len(split(dataset, seed=seed).test) / len(dataset.rows) for seed in range(8)]

    assert np.mean(shares) == pytest.approx(0.2, abs=0.03)
    assert max(shares) < 0.35


def test_a_row_never_moves_to_the_test_rows_even_where_a_small_class_has_to_hold_one_out() -> None:
    everything = random_dataset(400).rows
    frame = everything.features.assign(sold=everything.target)
    frame.loc[::50, "sold"] = "perhaps"  # 8 rows
    earlier = frame.iloc[:300]

    for seed in range(12):
        earlier_train, _ = row_ids(split(dataset_of(earlier), seed=seed))
        later = split(dataset_of(frame), seed=seed)

        assert not earlier_train & row_ids(later)[1]
        assert "perhaps" in set(later.test.target)


def test_the_order_of_the_rows_does_not_change_the_split() -> None:
    dataset = random_dataset(200)
    shuffled = dataset_of(dataset.rows.features.assign(sold=dataset.rows.target).sample(frac=1, random_state=1))

    original_split, shuffled_split = (split(rows) for rows in (dataset, shuffled))

    assert original_split.test.features.to_numpy().tolist() == shuffled_split.test.features.to_numpy().tolist()
    assert original_split.train.features.to_numpy().tolist() == shuffled_split.train.features.to_numpy().tolist()


def test_equal_rows_are_on_the_same_side() -> None:
    rows = random_dataset(100).rows
    frame = rows.features.assign(sold=rows.target)

    train, test = row_ids(split(dataset_of(pd.concat([frame, frame], ignore_index=True))))

    assert not train & test
    assert len(train | test) == 100


def test_rows_of_text_dates_and_missing_values_are_split_without_regard_to_their_order() -> None:
    count = 300
    frame = pd.DataFrame(
        {
            "a": np.arange(count, dtype=float),
            "city": [None if i % 7 == 0 else f"city {i % 11}" for i in range(count)],
            "built": pd.date_range("2001-02-03", periods=count),
            "garden": [i % 3 == 0 for i in range(count)],
            "sold": ["yes", "no"] * (count // 2),
        }
    )

    original, shuffled = (split(dataset_of(rows)) for rows in (frame, frame.sample(frac=1, random_state=1)))

    assert row_ids(original) == row_ids(shuffled)
    pd.testing.assert_frame_equal(original.test.features, shuffled.test.features)


def test_the_type_of_a_number_column_does_not_move_rows() -> None:
    frame = pd.DataFrame({"a": np.arange(200), "b": [True, False] * 100, "sold": ["yes", "no", "no", "no"] * 50})

    integers, floats = (split(dataset_of(rows)) for rows in (frame, frame.astype({"a": float, "b": float})))

    assert row_ids(integers) == row_ids(floats)


def test_the_same_seed_holds_out_the_same_rows() -> None:
    dataset = sources.load_bundled("wine")

    first, repeated, other = (split(dataset, seed=seed) for seed in (7, 7, 8))

    assert first.test.features.index.tolist() == repeated.test.features.index.tolist()
    assert first.test.features.index.tolist() != other.test.features.index.tolist()


def test_a_class_that_has_no_training_rows_is_refused() -> None:
    frame = pd.DataFrame({"a": range(20), "sold": ["perhaps", *["no", "yes"] * 9, "no"]})

    with pytest.raises(DataError, match=r"'perhaps' \(0 training rows, 1 test rows\).*--seed or --test-size"):
        split(dataset_of(frame))


def test_a_regression_target_is_split_by_rows_alone() -> None:
    dataset = sources.load_bundled("diabetes")

    result = split_dataset(dataset, task="regression", test_size=0.2, seed=1)

    assert len(result.train) + len(result.test) == 442
    assert 60 < len(result.test) < 120


def test_rows_of_a_group_are_on_the_same_side_and_stay_there_when_rows_are_added() -> None:
    rows = random_dataset(900).rows
    frame = rows.features.assign(sold=rows.target, customer=[f"customer {i % 60}" for i in range(900)])

    earlier = split(dataset_of(frame.iloc[:600], group="customer"))
    later = split(dataset_of(frame, group="customer"))

    for result in (earlier, later):
        assert not set(result.train.groups) & set(result.test.groups)  # type: ignore[arg-type] # groups are given
        assert "customer" not in result.train.features
    assert row_ids(earlier)[0] <= row_ids(later)[0]
    assert row_ids(earlier)[1] <= row_ids(later)[1]


def test_the_newest_rows_are_held_out_by_time_and_one_time_is_not_divided() -> None:
    rows = random_dataset(300).rows
    days = [f"2026-01-{1 + i % 30:02}" for i in range(300)]

    result = split(dataset_of(rows.features.assign(sold=rows.target, day=days), time="day"), test_size=0.25)

    assert result.train.times is not None
    assert result.test.times is not None
    assert result.train.times.max() < result.test.times.min()
    assert len(result.test) == 70
    assert result.description == "rows after 2026-01-23T00:00:00.000000 in column day"


def test_times_that_are_all_equal_cannot_hold_rows_out() -> None:
    rows = random_dataset(50).rows

    with pytest.raises(DataError, match="too many rows with the newest time"):
        split(dataset_of(rows.features.assign(sold=rows.target, day="2026-01-01"), time="day"))


def test_the_description_names_what_decides_about_the_held_out_rows() -> None:
    rows = random_dataset(300).rows
    frame = rows.features.assign(sold=rows.target)
    original = split(dataset_of(frame)).description

    others = [
        split(dataset_of(frame), seed=6).description,
        split(dataset_of(frame), test_size=0.3).description,
        split(dataset_of(frame.drop(columns="c"))).description,
        split(dataset_of(frame.assign(g=np.arange(300) % 50), group="g")).description,
    ]

    assert split(dataset_of(frame.iloc[:200])).description == original
    assert len({original, *others}) == 5
    assert not any(was_held_out(original, other) for other in others)
    assert was_held_out(original, original)


def test_a_model_of_an_earlier_cutoff_has_not_seen_the_newest_rows() -> None:
    rows = random_dataset(300).rows
    frame = rows.features.assign(sold=rows.target, hour=np.arange(300.0))

    earlier, later = (split(dataset_of(data, time="hour")).description for data in (frame.iloc[:200], frame))

    assert was_held_out(later, earlier)
    assert not was_held_out(earlier, later)
