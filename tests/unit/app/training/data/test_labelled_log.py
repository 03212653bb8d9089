"""Training data from the prediction log."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pytest

from app.errors import DataError, LogOffError, MantaError
from app.records.log_files import DATES_KEY, FORMAT, FORMAT_KEY, LogFile
from app.settings import Settings
from app.training.data import labelled_log
from app.training.data.dataset import Dataset
from app.training.data.labelled_log import find_rows, read_log
from tests.support.memory_log import MemoryStore

FILE = LogFile(kind="predictions", model="m", version="1", time_ms=4_000_000_000_000, rows=4, writer="r")
"""A file of the year 2096, so that it is in every period."""

FEATURES: dict[str, Sequence[object]] = {"feature.size": [1.0, 2.0, None, 4.0], "feature.town": ["x", "y", None, "x"]}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that the settings name."""
    store = MemoryStore()
    monkeypatch.setattr(labelled_log, "open_store", lambda _: store)
    return store


def read(location: str = "log:30d", target: str | None = None, time: str | None = None) -> Dataset:
    return read_log(location, Settings(model_name="m"), target=target, time=time)


def add_rows(
    store: MemoryStore, features: Mapping[str, Sequence[object]], file: LogFile = FILE, dates: str = ""
) -> None:
    """Log one request, whose id is the version, with a row for each value."""
    count = len(next(iter(features.values())))
    columns = {
        "request_id": [file.version] * count,
        "row": list(range(count)),
        "time": pa.array([1_795_900_000_000 + index for index in range(count)], pa.timestamp("ms", tz="UTC")),
    }
    metadata = {FORMAT_KEY: FORMAT} | ({DATES_KEY: dates.encode()} if dates else {})
    store.tables[file] = pa.table({**columns, **features}, metadata=metadata)


def add_labels(store: MemoryStore, labels: dict[int, str], request_id: str = "1", file: LogFile = FILE) -> None:
    """Log the labels, as JSON, of some rows of a request."""
    table = {"request_id": [request_id] * len(labels), "row": list(labels), "label": list(labels.values())}
    feedback = replace(file, kind="feedback", writer=f"feedback-{len(store.tables)}")
    store.tables[feedback] = pa.table(table, metadata={FORMAT_KEY: FORMAT})


def test_the_rows_with_a_label_are_the_data(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    add_labels(store, {0: '"yes"', 2: '"no"', 9: '"yes"'})

    dataset = read(target="sold")

    expected = pd.DataFrame({"size": [1.0, None], "town": ["x", None]}).astype({"town": "str"})
    pd.testing.assert_frame_equal(dataset.rows.features, expected)
    assert dataset.rows.target.tolist() == ["yes", "no"]
    assert dataset.rows.target.name == "sold"
    assert dataset.source == "log:30d"
    assert dataset.tags["data.log_since"]


def test_labels_of_every_version_count_and_the_last_one_of_a_row_wins(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    later = replace(FILE, version="2", time_ms=FILE.time_ms + 1)
    add_rows(store, FEATURES, later)
    add_rows(store, FEATURES, replace(FILE, model="other", version="3"))
    add_labels(store, {0: "1"})
    add_labels(store, {0: "2"}, file=later)
    add_labels(store, {1: "3"}, request_id="2")
    add_labels(store, {1: "4"}, request_id="3")

    rows = read().rows

    assert rows.target.tolist() == [2, 3]
    assert rows.features["size"].tolist() == [1.0, 2.0]


def test_dates_of_the_log_are_dates_again(store: MemoryStore) -> None:
    days = ["2026-01-01T00:00:00", "2026-02-01T12:30:00.5"]
    add_rows(store, {"feature.day": days, "feature.text": days}, dates='["day"]')
    add_labels(store, {0: "0.5", 1: "1.5"})

    features = read().rows.features

    assert features["day"].tolist() == [pd.Timestamp(day) for day in days]
    assert features["text"].tolist() == days


def test_the_time_of_a_prediction_orders_the_rows(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    add_labels(store, {0: "1", 3: "2"})

    rows = read(time="time").rows

    assert rows.times is not None
    assert (rows.times.iloc[1] - rows.times.iloc[0]) == pd.Timedelta("3ms")
    assert list(rows.features) == ["size", "town"]


def test_a_column_that_not_all_versions_have_is_left_out_and_named(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    add_rows(store, FEATURES)
    add_rows(store, {"feature.size": [5.0]}, replace(FILE, version="2", time_ms=FILE.time_ms + 1))
    add_labels(store, {0: "1"})
    add_labels(store, {0: "2"}, request_id="2")

    features = read().rows.features

    assert features.to_dict("list") == {"size": [1.0, 5.0]}
    assert "m: not all versions have the columns town, which are left out" in caplog.text


def message_of(error: type[MantaError], location: str = "log:30d", target: str | None = None) -> str:
    with pytest.raises(error) as raised:
        read(location, target)
    return str(raised.value)


def test_a_log_without_labels_is_an_error_that_names_the_way_to_send_them(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    add_labels(store, {0: "1"}, request_id="unknown")

    message = message_of(DataError)

    assert "The prediction log of 'm' has no row with a label in the last 30d." in message
    assert "manta feedback FILE" in message


def test_a_column_of_numbers_and_text_is_an_error(store: MemoryStore) -> None:
    add_rows(store, {"feature.size": [1.0]})
    add_rows(store, {"feature.size": ["big"]}, replace(FILE, version="2", time_ms=FILE.time_ms + 1))
    add_labels(store, {0: "1"})
    add_labels(store, {0: "2"}, request_id="2")

    assert "holds numbers for one version, and text for another" in message_of(DataError)


def test_labels_cannot_have_the_name_of_a_feature(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    add_labels(store, {0: "1"})

    assert "The model has a feature 'size'" in message_of(DataError, target="size")


def test_without_a_log_the_error_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled_log, "open_store", lambda _: None)

    assert "log:30d cannot be read, because there is no prediction log." in message_of(LogOffError)


@pytest.mark.parametrize("period", ["", "30", "d", "0d", "400d"])
def test_a_period_that_cannot_be_used_is_an_error_with_an_example(store: MemoryStore, period: str) -> None:  # noqa: ARG001 - no log is read
    message = message_of(MantaError, f"log:{period}")

    assert f"The period {period!r} cannot be used." in message
    assert "--data log:30d" in message


def test_the_rows_for_another_data_set_have_its_target(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    add_labels(store, {0: '"yes"', 2: '"no"'})

    rows, _ = find_rows("log:30d", Settings(model_name="m"), target="sold")

    assert rows is not None
    assert (list(rows.features), rows.target.name, rows.target.tolist()) == (["size", "town"], "sold", ["yes", "no"])


def test_without_labels_there_are_no_rows_for_another_data_set(store: MemoryStore) -> None:
    add_rows(store, FEATURES)

    assert find_rows("log:30d", Settings(model_name="m"), target="sold")[0] is None


def test_the_rows_for_data_with_times_have_the_times_of_their_predictions(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    add_labels(store, {0: "1", 3: "2"})

    rows, _ = find_rows("log:30d", Settings(model_name="m"), target="price", time="sold on")

    assert rows is not None
    assert rows.times is not None
    assert rows.times.name == "sold on"
    assert rows.times.tolist() == [pd.Timestamp(1_795_900_000_000 + row, unit="ms") for row in (0, 3)]


def test_a_column_of_times_that_the_model_takes_holds_the_times(store: MemoryStore) -> None:
    add_rows(store, FEATURES)
    add_labels(store, {0: "1", 3: "2"})

    rows, _ = find_rows("log:30d", Settings(model_name="m"), target="price", time="size")

    assert rows is not None
    assert rows.times is not None
    assert (rows.times.tolist(), list(rows.features)) == ([1.0, 4.0], ["town"])
