"""How much of the log is read. `tests/unit/app/serving/prediction_log/test_feedback.py` reads what a service wrote."""

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from app.records import log_reader
from app.records.log_files import FORMAT, FORMAT_KEY, LogFile
from app.records.log_reader import read_answered, read_window
from tests.support.memory_log import MemoryStore

SINCE = datetime(2026, 11, 28, tzinfo=UTC)
FILE = LogFile(kind="predictions", model="m", version="1", time_ms=1_795_900_000_000, rows=2, writer="r")


def store_of(*numbers: int) -> MemoryStore:
    """A store with a file of two rows, and a file of a label for each row, for each number."""
    store = MemoryStore()
    for number in numbers:
        file = replace(FILE, time_ms=FILE.time_ms + number)
        table = pa.table({"request_id": [str(number)] * 2, "row": [0, 1]}, metadata={FORMAT_KEY: FORMAT})
        store.tables[file] = table
        store.tables[replace(file, kind="feedback")] = table.append_column("label", pa.array([str(number)] * 2))
    return store


def test_a_log_of_more_rows_is_read_from_whole_files_in_the_order_of_time() -> None:
    window = read_window(store_of(*range(9)), model="m", version="1", since=SINCE, max_rows=5)

    ids = window.predictions["request_id"].to_pylist()
    assert len(ids) == 6
    assert ids == sorted(ids)
    assert window.labels == [int(text) for text in ids]
    assert (window.logged_rows, window.unknown_labels) == (18, 12)


def test_the_newest_labels_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "MAX_LABELS", 3)

    window = read_window(store_of(2, 0, 1), model="m", version="1", since=SINCE)

    assert window.labels == [None, None, 1, 1, 2, 2]


def test_the_rows_of_a_model_are_read_by_the_version_that_answered() -> None:
    store = store_of(0, 1, 2)
    for file in [file for file in store.tables if file.kind == "predictions" and file.time_ms > FILE.time_ms]:
        store.tables[replace(file, version="2")] = store.tables.pop(file)
    store.tables[replace(FILE, model="other")] = store.tables[FILE]

    answered = read_answered(store, model="m", since=SINCE)

    assert {version: table["request_id"].to_pylist() for version, table in answered.predictions.items()} == {
        "2": ["1", "1", "2", "2"],
        "1": ["0", "0"],
    }
    assert list(answered.predictions) == ["2", "1"]
    assert answered.labels == {"2": [1, 1, 2, 2], "1": [0, 0]}
    assert answered.logged_rows == 6


def test_all_versions_share_the_bound_of_the_rows() -> None:
    store = store_of(*range(9))
    for file in [file for file in store.tables if file.kind == "predictions" and file.time_ms % 2]:
        store.tables[replace(file, version="2")] = store.tables.pop(file)

    answered = read_answered(store, model="m", since=SINCE, max_rows=5)

    assert sum(table.num_rows for table in answered.predictions.values()) == 6
    assert answered.logged_rows == 18
