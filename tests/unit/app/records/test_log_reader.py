"""How much of the log is read. `tests/unit/app/serving/prediction_log/test_feedback.py` reads what a service wrote."""

from collections import Counter
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


def file_of(*request_ids: str, share: float = 1.0) -> pa.Table:
    """A file with a row for each id. Equal ids are rows of the same request."""
    columns = {
        "request_id": request_ids,
        "row": [request_ids[:index].count(name) for index, name in enumerate(request_ids)],
        "share": [share] * len(request_ids),
    }
    return pa.table(columns, metadata={FORMAT_KEY: FORMAT})


def store_of(*numbers: int) -> MemoryStore:
    """A store with a file of two rows, and a file of a label for each row, for each number."""
    store = MemoryStore()
    for number in numbers:
        file = replace(FILE, time_ms=FILE.time_ms + number)
        table = file_of(str(number), str(number))
        store.tables[file] = table
        store.tables[replace(file, kind="feedback")] = table.append_column("label", pa.array([str(number)] * 2))
    return store


def store_of_files(*tables: pa.Table) -> MemoryStore:
    """A store with files, in the order of time."""
    store = MemoryStore()
    for index, table in enumerate(tables):
        store.tables[replace(FILE, time_ms=FILE.time_ms + index, rows=table.num_rows)] = table
    return store


def test_of_a_log_of_more_rows_a_sample_is_read_in_the_order_of_time() -> None:
    window = read_window(store_of(*range(900)), model="m", version="1", since=SINCE, max_rows=100)

    ids = [int(text) for text in window.predictions["request_id"].to_pylist()]
    assert len(ids) == 100
    assert ids == sorted(ids)
    assert max(ids) - min(ids) > 450
    assert window.labels == ids
    assert (window.logged_rows, window.unknown_labels) == (1_800, 1_700)


def test_a_sample_is_taken_from_many_files_and_from_each_of_them_at_random() -> None:
    store = store_of_files(*(file_of(*(f"{file}-{row}" for row in range(100))) for file in range(100)))

    window = read_window(store, model="m", version="1", since=SINCE, max_rows=1_000)

    ids = window.predictions["request_id"].to_pylist()
    assert 850 < len(ids) < 1_150
    assert len(Counter(text.split("-")[0] for text in ids)) == log_reader.MIN_FILES
    assert len(Counter(text.split("-")[1] for text in ids)) > 95


def test_every_request_counts_alike_although_a_busy_replica_kept_a_smaller_share_of_them() -> None:
    idle = file_of(*(f"idle {request}" for request in range(2_000) for _ in range(2)))
    busy = file_of(*(f"busy {request}" for request in range(500) for _ in range(2)), share=0.25)

    window = read_window(store_of_files(idle, busy), model="m", version="1", since=SINCE)

    rows = Counter(window.predictions["request_id"].to_pylist())
    assert set(rows.values()) == {2}
    requests = Counter(name.split()[0] for name in rows)
    assert requests["busy"] == 500
    assert 400 < requests["idle"] < 600
    assert window.logged_rows == 5_000


def test_a_row_from_after_a_burst_costs_no_other_rows() -> None:
    usual = file_of(*(str(request) for request in range(1_000)))
    store = store_of_files(usual, file_of("after", share=0.001))

    window = read_window(store, model="m", version="1", since=SINCE)

    assert window.predictions.num_rows == 1_001


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
    store = store_of(*range(900))
    for file in [file for file in store.tables if file.kind == "predictions" and file.time_ms % 2]:
        store.tables[replace(file, version="2")] = store.tables.pop(file)

    answered = read_answered(store, model="m", since=SINCE, max_rows=100)

    assert sum(table.num_rows for table in answered.predictions.values()) == 100
    assert answered.logged_rows == 1_800
