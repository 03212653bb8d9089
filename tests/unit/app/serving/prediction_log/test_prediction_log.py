"""The prediction log of one replica. `tests/integration/serving` has it with a real MLflow."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from app.models.artifact import Artifact
from app.models.signature import infer_columns
from app.serving.prediction_log import buffer, prediction_table, writer
from app.serving.prediction_log.prediction_log import PredictionLog
from app.settings import Settings
from tests.support.memory_log import MemoryStore
from tests.support.replica_api import ROWS, http_client, replica_api
from tests.support.waiting import wait_until

TOWNS = pd.DataFrame({"town": ["x", None, "y", "x"] * 10, "size": np.arange(40.0)})
TOWN_MODEL = make_pipeline(
    make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough"),
    RandomForestClassifier(3, random_state=0),
).fit(TOWNS, np.where(TOWNS["size"] > 20, "big", "small"))


def town_artifact() -> Artifact:
    """A model of a column with text."""
    return Artifact(
        model=TOWN_MODEL,
        columns=infer_columns(TOWNS),
        example=TOWNS.head(2),
        example_predictions=None,
        example_probabilities=None,
        example_labels=[],
    )


def predictions(
    scenario: Callable[[httpx.AsyncClient, PredictionLog], Awaitable[None]],
    *,
    store: MemoryStore,
    model: Artifact | None = None,
    max_bytes: int = buffer.MAX_BUFFER_BYTES,
    **settings: object,
) -> None:
    """Run a scenario with a client of a replica whose log goes to a store."""
    log = PredictionLog(store, Settings.model_validate(settings), writer="r1", max_bytes=max_bytes)

    async def run() -> None:
        async with replica_api(model, log=log) as api, http_client(api) as client:
            await scenario(client, log)

    asyncio.run(run())


def test_rows_and_answers_are_logged_with_the_id_of_their_request() -> None:
    store, answers = MemoryStore(), list[httpx.Response]()
    features = ROWS.head(2).to_numpy().tolist()

    async def scenario(client: httpx.AsyncClient, _: PredictionLog) -> None:
        for request_id, rows in (("first", features), ("x" * 200, features[:1])):
            headers = {"X-Request-Id": request_id}
            answers.append(await client.post("/predict", json={"features": rows}, headers=headers))

    predictions(scenario, store=store)

    first, second = answers
    rows = store.rows()
    assert [row["request_id"] for row in rows] == ["first", "first", "x" * 128]
    assert [row["row"] for row in rows] == [0, 1, 0]
    assert [[row[f"feature.{name}"] for name in ROWS] for row in rows] == [*features, features[0]]
    assert [row["prediction"] for row in rows] == first.json()["predictions"] + second.json()["predictions"]
    assert [row["probabilities"] for row in rows] == first.json()["probabilities"] + second.json()["probabilities"]
    assert {(row["model"], row["version"], row["role"], row["share"]) for row in rows} == {("m", "1", "champion", 1.0)}
    [table] = store.tables.values()
    assert table.schema.metadata[b"manta.classes"] == b"[false, true]"


def test_only_the_columns_of_the_list_are_logged() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient, _: PredictionLog) -> None:
        answer = await client.post("/predict", json={"rows": [{"town": "y", "size": 1.0}]})
        assert answer.status_code == 200, answer.text

    predictions(scenario, store=store, model=town_artifact(), prediction_log_columns=("town", "unknown"))

    [row] = store.rows()
    assert {name for name in row if name.startswith("feature.")} == {"feature.town"}
    assert row["feature.town"] == "y"


def test_a_request_that_fails_is_not_logged() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient, _: PredictionLog) -> None:
        assert (await client.post("/predict", json={"features": [[1.0]]})).status_code == 422

    predictions(scenario, store=store)

    assert store.rows() == []


def test_a_store_that_is_away_loses_only_what_does_not_fit() -> None:
    store = MemoryStore()
    store.is_down = True
    row_bytes = buffer.ENTRY_BYTES + ROWS.head(1).to_numpy().nbytes + 1 + 16

    async def scenario(client: httpx.AsyncClient, log: PredictionLog) -> None:
        for index in range(5):
            answer = await client.post("/predict", json={"features": ROWS.iloc[[index]].to_numpy().tolist()})
            assert answer.status_code == 200
            log._writer.write()
        assert (log.buffer.rows, log.buffer.dropped_rows) == (3, 2)
        store.is_down = False
        log._writer.write()
        assert (log.buffer.rows, log.buffer.size_bytes) == (0, 0)
        await client.post("/predict", json={"features": ROWS.iloc[[5]].to_numpy().tolist()})

    predictions(scenario, store=store, max_bytes=3 * row_bytes)

    assert [row["feature.a"] for row in store.rows()] == ROWS["a"].iloc[[0, 1, 2, 5]].tolist()


def test_a_half_full_buffer_is_written_at_once_and_the_next_request_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(writer, "POLL_S", 0.01)

    async def scenario(client: httpx.AsyncClient, log: PredictionLog) -> None:
        for _number in range(3):
            await client.post("/predict", json={"features": ROWS.head(8).to_numpy().tolist()})
            await asyncio.to_thread(wait_until, lambda: log.buffer.rows == 0, what="the next file", timeout_s=10)

    predictions(scenario, store=store, max_bytes=1_000, prediction_log_rows_per_second=1)

    assert [row["share"] for row in store.rows()] == [1.0] * 24


def test_a_busy_replica_keeps_a_share_of_the_requests_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(writer, "POLL_S", 0.01)
    monkeypatch.setattr(writer, "WRITE_PERIOD_S", 0.0)

    async def scenario(client: httpx.AsyncClient, _: PredictionLog) -> None:
        for _number in range(50):
            await client.post("/predict", json={"features": ROWS.head(8).to_numpy().tolist()})

    predictions(scenario, store=store, prediction_log_rows_per_second=10)

    assert 0 < len(store.rows()) < 8 * 50
    assert caplog.text.count("more than 10 rows a second are predicted: the prediction log keeps") == 1


def test_predictions_are_joined_before_the_store_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr(writer, "POLL_S", 0.01)
    monkeypatch.setattr(buffer, "JOIN_REQUESTS", 2)

    async def scenario(client: httpx.AsyncClient, log: PredictionLog) -> None:
        for index in range(5):
            await client.post("/predict", json={"features": ROWS.iloc[[index]].to_numpy().tolist()})

        def joined() -> int:
            return sum(len(predictions.rows) for batch in log.buffer.batches() for predictions in batch.joined)

        await asyncio.to_thread(wait_until, lambda: joined() == 4, what="four joined predictions", timeout_s=10)
        assert store.rows() == []

    predictions(scenario, store=store)

    assert [row["feature.a"] for row in store.rows()] == ROWS["a"].head(5).tolist()


def test_a_replica_that_ends_without_its_store_says_what_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.is_down = True

    async def scenario(client: httpx.AsyncClient, _: PredictionLog) -> None:
        await client.post("/predict", json={"features": ROWS.head(4).to_numpy().tolist()})

    predictions(scenario, store=store)

    assert "4 rows of the prediction log are lost" in caplog.text
    assert "the store is away" in caplog.text


def test_a_prediction_that_cannot_be_written_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    original = prediction_table.prediction_table
    calls = iter([True])

    def fail_once(*args: object, **kwargs: object) -> object:
        if next(calls, False):
            raise TypeError("mixed")
        return original(*args, **kwargs)  # type: ignore[arg-type] # passed on unchanged

    monkeypatch.setattr(writer, "prediction_table", fail_once)

    async def scenario(client: httpx.AsyncClient, log: PredictionLog) -> None:
        await client.post("/predict", json={"features": ROWS.iloc[[0]].to_numpy().tolist()})
        log._writer.write()
        assert (log.buffer.rows, log.buffer.dropped_rows, log.buffer.size_bytes) == (0, 1, 0)
        await client.post("/predict", json={"features": ROWS.iloc[[1]].to_numpy().tolist()})

    predictions(scenario, store=store)

    assert len(store.rows()) == 1


def test_a_prediction_that_the_buffer_refuses_is_answered_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(buffer, "Batch", lambda **_: 1 / 0)

    async def scenario(client: httpx.AsyncClient, log: PredictionLog) -> None:
        answer = await client.post("/predict", json={"features": ROWS.head(3).to_numpy().tolist()})
        assert answer.status_code == 200
        assert (log.buffer.rows, log.buffer.dropped_rows) == (0, 3)

    predictions(scenario, store=MemoryStore())

    assert "a prediction cannot be logged" in caplog.text


def test_old_days_are_deleted_once_a_day() -> None:
    store = MemoryStore()

    async def scenario(_: httpx.AsyncClient, log: PredictionLog) -> None:
        log._writer.write()
        log._writer.write()

    predictions(scenario, store=store, prediction_log_days=3)

    assert len(store.deleted_before) == 1


def test_a_store_that_deletes_nothing_is_written_and_asked_again_tomorrow(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.can_delete = False

    async def scenario(client: httpx.AsyncClient, log: PredictionLog) -> None:
        for _number in range(2):
            await client.post("/predict", json={"features": ROWS.iloc[[0]].to_numpy().tolist()})
            log._writer.write()

    predictions(scenario, store=store)

    assert len(store.rows()) == 2
    assert caplog.text.count("cannot be deleted until tomorrow: PermissionError: not allowed") == 1
    assert "cannot be written" not in caplog.text


def test_a_long_text_counts_in_the_buffer_until_it_is_stored() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient, log: PredictionLog) -> None:
        for town in ("x" * 50_000, "y"):
            await client.post("/predict", json={"rows": [{"town": town, "size": 1.0}]})
            assert log.buffer.size_bytes > len(town)
            log._writer.write()
            assert log.buffer.size_bytes == 0

    predictions(scenario, store=store, model=town_artifact())

    assert [row["feature.town"] for row in store.rows()] == ["x" * 50_000, "y"]


def test_a_share_of_the_requests_is_logged() -> None:
    store = MemoryStore()

    async def scenario(client: httpx.AsyncClient, _: PredictionLog) -> None:
        for _number in range(40):
            await client.post("/predict", json={"features": ROWS.iloc[[0]].to_numpy().tolist()})

    predictions(scenario, store=store, prediction_log_share=0.5)

    rows = store.rows()
    assert 0 < len(rows) < 40
    assert {row["share"] for row in rows} == {0.5}
