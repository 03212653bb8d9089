"""A data set with the labelled rows of the prediction log: `--add-log 30d`."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.settings import Settings
from app.training.data import labelled_log
from app.training.data.added_log import add_log
from app.training.data.columns import ColumnRoles, rows_from_frame
from app.training.data.dataset import Dataset, Rows
from app.training.data.split import split_dataset

SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def rows_of(target: list[object], **features: object) -> Rows:
    frame = pd.DataFrame(features).assign(y=pd.Series(target))
    return rows_from_frame(frame, ColumnRoles(target="y"), source="s")


def rows_at(times: Sequence[object], values: list[object]) -> Rows:
    """Rows whose only feature equals the target."""
    frame = pd.DataFrame({"a": values, "y": values, "day": times})
    return rows_from_frame(frame, ColumnRoles(target="y", time="day"), source="s")


def add(monkeypatch: pytest.MonkeyPatch, rows: Rows, logged: Rows | None) -> Dataset:
    def find_rows(location: str, settings: Settings, *, target: str, time: str | None) -> tuple[Rows | None, datetime]:
        assert (location, settings.model_name, target) == ("log:30d", "m", "y")
        assert time == (None if rows.times is None else "day")
        return logged, SINCE

    monkeypatch.setattr(labelled_log, "find_rows", find_rows)
    return add_log(Dataset(name="a.csv", source="a.csv", rows=rows, tags={"t": "1"}), "30d", Settings(model_name="m"))


def test_the_labelled_rows_follow_the_rows_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(["yes", "no"], size=[1, 2], town=["x", None])

    dataset = add(monkeypatch, rows, rows_of(["no"], town=["z"], size=[None]))

    expected = pd.DataFrame({"size": [1.0, 2.0, np.nan], "town": ["x", None, "z"]}).astype({"town": "str"})
    pd.testing.assert_frame_equal(dataset.rows.features, expected)
    assert dataset.rows.target.tolist() == ["yes", "no", "no"]
    assert dataset.rows.target.name == "y"
    assert (dataset.name, dataset.source) == ("a.csv", "a.csv")
    assert dataset.tags == {
        "t": "1",
        "data.added_log": "1 rows of log:30d",
        "data.log_since": "2026-11-01T00:00:00+00:00",
    }


def test_without_labelled_rows_the_data_is_the_source_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_of(["yes", "no"], size=[1, 2])

    dataset = add(monkeypatch, rows, None)

    assert (dataset.rows, dataset.tags) == (rows, {"t": "1"})
    assert "has no row with a label in the last 30d, so the data is a.csv alone" in caplog.text


@pytest.mark.parametrize(
    ("column", "logged", "kind"),
    [
        ([True, False], [1.0, 0.0], "bool"),
        ([True, False], [1.0, None], "float64"),
        (pd.Categorical(["x", "y"]), ["z", None], "category"),
        (pd.Categorical(["x", "y"], ordered=True), ["y", "x"], "category"),
        (pd.to_datetime(["2026-01-01", "2026-01-02"]), pd.to_datetime(["2026-02-01", None]), "datetime64[us]"),
        (pd.to_datetime(["2026-01-01", "2026-01-02"]), [None, None], "datetime64[us]"),
        (["a", "b"], [None, None], "str"),
    ],
)
def test_a_column_keeps_the_type_that_it_has_in_the_data(
    monkeypatch: pytest.MonkeyPatch, column: object, logged: object, kind: str
) -> None:
    joined = add(monkeypatch, rows_of([1, 2], a=column), rows_of([2, 1], a=logged)).rows.features["a"]

    assert joined.dtype == kind
    both = [*rows_of([1, 2], a=column).features["a"], *rows_of([2, 1], a=logged).features["a"]]
    assert [None if pd.isna(value) else value for value in joined] == [
        None if pd.isna(value) else value for value in both
    ]


@pytest.mark.parametrize(
    ("features", "fault"),
    [
        ({"a": [1, 2]}, "b (not in the log)"),
        ({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, "c (only in the log)"),
        ({"a": ["x", "y"], "b": [1, 2]}, "a (float64 in the data, str in the log)"),
    ],
)
def test_other_columns_are_refused_and_named(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, object], fault: str
) -> None:
    with pytest.raises(DataError) as refused:
        add(monkeypatch, rows_of([1, 2], a=[1, 2], b=[1, 2]), rows_of([1, 2], **features))

    assert str(refused.value) == (
        f"The rows of the prediction log cannot be added to a.csv. These columns differ: {fault}. Choose a period in "
        "which the served versions took these columns and labels, or drop --add-log."
    )


def test_an_ordered_category_takes_no_new_value(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pd.Categorical(["low", "high"], ordered=True)

    with pytest.raises(DataError, match=r"a \(category in the data, str in the log\)"):
        add(monkeypatch, rows_of([1, 2], a=column), rows_of([1, 2], a=["low", "medium"]))


@pytest.mark.parametrize(
    ("target", "labels", "expected"),
    [
        ([0, 1], [1], [0, 1, 1]),
        ([0.5, 1.5], [2], [0.5, 1.5, 2.0]),
        (["0", "1"], [1], ["0", "1", "1"]),
        (["a", "b"], ["c"], ["a", "b", "c"]),
        ([True, False], [True], [True, False, True]),
    ],
)
def test_labels_have_the_type_of_the_data(
    monkeypatch: pytest.MonkeyPatch, target: list[object], labels: list[object], expected: list[object]
) -> None:
    joined = add(monkeypatch, rows_of(target, a=[1, 2]), rows_of(labels, a=[3])).rows.target

    assert joined.tolist() == expected


@pytest.mark.parametrize(
    ("target", "label", "message"),
    [
        ([0, 1], "malignant", "labels such as 0, and the log has labels such as 'malignant'"),
        ([0, 1], 0.5, "labels such as 0, and the log has labels such as 0.5"),
        ([0, 1], True, "labels such as 0, and the log has labels such as True"),
        ([True, False], 1, "labels such as True, and the log has labels such as 1"),
    ],
)
def test_labels_of_another_type_are_refused(
    monkeypatch: pytest.MonkeyPatch, target: list[object], label: object, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        add(monkeypatch, rows_of(target, a=[1, 2]), rows_of([label], a=[3]))


DAYS = ["2026-11-01", "2026-11-02"]


def test_to_ordered_data_only_later_rows_are_added(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    times = pd.to_datetime(["2026-11-02T00:00:01Z", "2026-11-02T00:00:00Z", "2026-11-30T12:00:00Z"])

    dataset = add(monkeypatch, rows_at(DAYS, [1, 2]), rows_at(times, [3, 4, 5]))

    rows = dataset.rows
    assert (rows.features["a"].tolist(), rows.target.tolist()) == ([1.0, 2.0, 3.0, 5.0], [1, 2, 3, 5])
    assert rows.times is not None
    assert rows.times.name == "day"
    texts = [*DAYS, "2026-11-02T00:00:01", "2026-11-30T12:00:00"]
    assert rows.times.tolist() == [pd.Timestamp(text) for text in texts]
    assert dataset.tags["data.added_log"] == "2 rows of log:30d"
    assert "1 labelled rows of the prediction log are no later than the data, and left out" in caplog.text


def test_the_later_rows_of_the_log_are_the_held_out_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    days = pd.date_range("2026-01-01", periods=80)
    later = pd.date_range("2026-11-20", periods=20)

    dataset = add(monkeypatch, rows_at(days, list(range(80))), rows_at(later, list(range(20))))

    split = split_dataset(dataset, task="regression", test_size=0.2, seed=1)
    assert split.test.times is not None
    assert sorted(split.test.times) == list(later)
    assert split.description == "rows after 2026-03-21T00:00:00.000000 in column day"


def test_without_later_rows_the_data_is_the_source_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_at(DAYS, [1, 2])

    dataset = add(monkeypatch, rows, rows_at(["2026-10-31"], [3]))

    assert (dataset.rows, dataset.tags) == (rows, {"t": "1"})
    assert (
        "has no row with a label in the last 30d that is later than 2026-11-02 00:00:00, the newest time of the data, "
        "so the data is a.csv alone"
    ) in caplog.text


def test_numbers_that_order_the_data_cannot_be_compared_with_the_times_of_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DataError) as refused:
        add(monkeypatch, rows_at([2025, 2026], [1, 2]), rows_at(["2026-10-31"], [3]))

    assert str(refused.value) == (
        "The rows of the prediction log cannot be added to a.csv. The times in column 'day' are numbers in the data, "
        "and dates in the log. Give a column with dates as --time, or drop --add-log."
    )
