"""Labels of predictions: what the service stores, and how they find their predictions."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from app.errors import PlatformError
from app.records.log_files import LogFile
from app.records.log_reader import LogWindow, read_window
from app.serving.prediction_log import feedback
from app.serving.prediction_log.prediction_log import PredictionLog
from app.settings import Settings
from tests.support.memory_log import MemoryStore
from tests.support.replica_api import GUARDED, OPEN, ROWS, TOKEN, http_client, replica_api

FEATURES = ROWS.head(2).to_numpy().tolist()


def serve(
    scenario: Callable[[httpx.AsyncClient], Awaitable[None]], store: MemoryStore | None, *, is_guarded: bool = False
) -> None:
    log = PredictionLog(store, Settings(), writer="r1") if store is not None else None

    async def run() -> None:
        async with replica_api(log=log, access=GUARDED if is_guarded else OPEN) as api, http_client(api) as client:
            await scenario(client)

    asyncio.run(run())


async def predict(client: httpx.AsyncClient, request_id: str) -> None:
    answer = await client.post("/predict", json={"features": FEATURES}, headers={"X-Request-Id": request_id})
    assert answer.status_code == 200


async def label(client: httpx.AsyncClient, *labels: tuple[str, int, object]) -> httpx.Response:
    entries = [{"request_id": request_id, "row": row, "label": value} for request_id, row, value in labels]
    return await client.post("/feedback", json={"labels": entries})


def window(store: MemoryStore) -> LogWindow:
    return read_window(store, model="m", version="1", since=datetime.now(UTC) - timedelta(hours=1))


def test_labels_find_their_rows_and_the_last_one_counts() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient) -> None:
        await predict(client, "a")
        await predict(client, "b")
        assert (await label(client, ("a", 1, False), ("b", 0, True))).json() == {"stored": 2}
        await label(client, ("a", 1, True), ("unknown", 0, True))

    serve(scenario, store)

    read = window(store)
    keys = zip(read.predictions["request_id"].to_pylist(), read.predictions["row"].to_pylist(), strict=True)
    assert dict(zip(keys, read.labels, strict=True)) == {("a", 0): None, ("a", 1): True, ("b", 0): True, ("b", 1): None}
    assert read.unknown_labels == 1
    assert read.logged_rows == 4


@pytest.mark.parametrize("value", [True, 1, 1.5, "yes"])
def test_a_label_keeps_its_type(value: object) -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient) -> None:
        await predict(client, "a")
        await label(client, ("a", 0, value))

    serve(scenario, store)

    [read, _] = window(store).labels
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "labels"),
        ({"labels": []}, "labels"),
        ({"labels": [{"request_id": "", "label": 1}]}, "labels.0.request_id"),
        ({"labels": [{"request_id": "a", "row": -1, "label": 1}]}, "labels.0.row"),
        ({"labels": [{"request_id": "a", "row": 0.5, "label": 1}]}, "labels.0.row"),
        ({"labels": [{"request_id": "a", "row": True, "label": 1}]}, "labels.0.row"),
        ({"labels": [{"request_id": "a", "row": 0, "label": [1]}]}, "labels.0.label"),
        ({"labels": [{"request_id": "a", "row": 0}]}, "labels.0.label"),
        ({"labels": [{"request_id": "a", "row": 0, "label": 1}], "more": 1}, "more"),
    ],
)
def test_labels_of_another_form_are_refused_and_nothing_is_stored(body: object, message: str) -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post("/feedback", json=body)
        assert answer.status_code == 422
        assert message in answer.json()["detail"]
        assert answer.json()["allowed"].startswith('{"labels": [{"request_id": string')

    serve(scenario, store)

    assert store.tables == {}


def test_labels_are_stored_or_the_answer_says_that_they_are_not(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient) -> None:
        store.is_down = True
        answer = await label(client, ("a", 0, 1))
        assert answer.status_code == 502
        assert answer.json()["detail"] == "The labels cannot be stored: the store is away"
        store.is_down = False
        assert (await label(client, ("a", 0, 1))).status_code == 200

    serve(scenario, store)

    assert len(store.rows()) == 1
    assert "1 labels cannot be stored: OSError: the store is away" in caplog.text


def test_a_store_that_hangs_holds_one_thread_and_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    store.answers.clear()
    monkeypatch.setattr(feedback, "STORE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(feedback, "WRITE_PERIOD_S", 0.0)
    monkeypatch.setattr(feedback, "MAX_WAITING_LABELS", 3)
    puts, put = [], store.put

    def count_and_put(file: LogFile, source: Path) -> None:
        puts.append(file)
        put(file, source)

    monkeypatch.setattr(store, "put", count_and_put)

    async def scenario(client: httpx.AsyncClient) -> None:
        for index in range(3):
            answer = await label(client, ("a", index, 1))
            assert answer.status_code == 502
            assert answer.json()["detail"] == "The labels cannot be stored: no answer in 0.05 s"
        assert (await label(client, ("a", 3, 1))).status_code == 503
        assert len(puts) <= 1
        monkeypatch.setattr(feedback, "STORE_TIMEOUT_S", 30.0)
        monkeypatch.setattr(feedback, "MAX_WAITING_LABELS", 4)
        store.answers.set()
        assert (await label(client, ("a", 3, 1))).status_code == 200

    serve(scenario, store)

    assert [row["row"] for row in store.rows()] == [0, 1, 2, 3]


def test_a_body_that_is_too_large_is_refused() -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await label(client, *(("a", 0, "x" * 900) for _ in range(2_500)))
        assert answer.status_code == 413
        assert answer.json()["allowed"] == "up to 2097152 bytes"

    serve(scenario, MemoryStore())


def test_labels_that_arrive_together_share_a_file() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(*(label(client, (f"r{index}", 0, index)) for index in range(20)))
        assert {answer.status_code for answer in answers} == {200}

    serve(scenario, store)

    assert sorted(str(row["label"]) for row in store.rows()) == sorted(map(str, range(20)))
    assert len(store.tables) <= 2


def test_without_a_log_labels_are_refused() -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await label(client, ("a", 0, 1))
        assert answer.status_code == 409
        assert answer.json()["title"] == "Prediction log is off"
        assert "predictionLog" in answer.json()["next_step"]

    serve(scenario, None)


def test_labels_need_the_token_of_a_load() -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        assert (await label(client, ("a", 0, 1))).status_code == 401
        client.headers.update(TOKEN)
        assert (await label(client, ("a", 0, 1))).status_code == 200

    serve(scenario, MemoryStore(), is_guarded=True)


def test_a_row_that_was_written_twice_counts_once_and_other_versions_are_counted() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient) -> None:
        await predict(client, "a")

    serve(scenario, store)
    [(file, table)] = store.tables.items()
    store.tables[LogFile(**vars(file) | {"time_ms": file.time_ms + 1})] = table
    store.tables[LogFile(**vars(file) | {"version": "2"})] = table
    store.tables[LogFile(**vars(file) | {"model": "other"})] = table

    read = window(store)

    assert read.predictions.num_rows == 2
    assert read.other_versions == {"2": 2}


def test_a_file_of_another_release_is_an_error_that_names_it() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient) -> None:
        await predict(client, "a")

    serve(scenario, store)
    [(file, table)] = store.tables.items()
    store.tables[file] = table.replace_schema_metadata({b"manta.format": b"9"})

    with pytest.raises(PlatformError, match="has the format '9'"):
        window(store)


def test_a_window_without_predictions_is_empty() -> None:
    read = window(MemoryStore())

    assert read.predictions.num_rows == 0
    assert read.labels == []
