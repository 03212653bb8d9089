"""The prediction log in an object store, against a server with the API of S3."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from app.cli.ports import free_ports
from app.errors import PlatformError
from app.records.log_files import Kind, LogFile
from app.records.object_store import ObjectStore
from app.serving.prediction_log.buffer import ENTRY_BYTES
from app.serving.prediction_log.prediction_log import PredictionLog
from app.settings import Settings
from tests.support.object_stores import s3_server
from tests.support.replica_api import ROWS, http_client, replica_api

TABLE = pa.table({"request_id": ["a"], "feature.x": [1.5]})
NOW = datetime.now(UTC).replace(microsecond=0)
TWO_DAYS_AGO = NOW - timedelta(days=2)


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fs.FileSystem]:
    """An S3 server with a bucket, which this process reaches as a replica does: by environment variables."""
    with s3_server(tmp_path / "server.log") as url:
        yield create_bucket(url, monkeypatch)


def create_bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> fs.FileSystem:
    """Let this process use a server, and create the bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    filesystem, bucket = fs.FileSystem.from_uri("s3://log?allow_bucket_creation=true")
    filesystem.create_dir(bucket)
    return filesystem


def log_file(time: datetime, kind: Kind = "predictions") -> LogFile:
    return LogFile(
        kind=kind, model="a model", version="1", time_ms=round(time.timestamp() * 1000), rows=1, writer="r#1-1"
    )


def test_files_are_listed_by_time_read_and_deleted_by_day(s3: fs.FileSystem, tmp_path: Path) -> None:
    store = ObjectStore("s3://log/folder/of/the-log")
    source = tmp_path / "source.parquet"
    pq.write_table(TABLE, source)
    new, old, labels = log_file(NOW), log_file(TWO_DAYS_AGO), log_file(NOW, "feedback")
    assert store.files("predictions", since=TWO_DAYS_AGO) == []

    for file in (new, old, labels):
        store.put(file, source)

    assert sorted(store.files("predictions", since=TWO_DAYS_AGO), key=lambda file: file.time_ms) == [old, new]
    assert store.files("predictions", since=NOW - timedelta(hours=1)) == [new]
    assert store.files("feedback", since=TWO_DAYS_AGO) == [labels]
    assert store.read(old, tmp_path).equals(TABLE)
    store.delete_before(new.day)
    assert store.files("predictions", since=TWO_DAYS_AGO) == [new]
    infos = s3.get_file_info(fs.FileSelector("log/folder/of/the-log", recursive=True))
    assert {info.path.split("/")[4] for info in infos} == {f"date={NOW.date()}"}


def test_a_bucket_that_does_not_exist_is_an_error_with_its_name(s3: fs.FileSystem, tmp_path: Path) -> None:
    assert s3.get_file_info("log").is_file is False
    store = ObjectStore("s3://none/folder?region=eu-central-1")
    source = tmp_path / "source.parquet"
    pq.write_table(TABLE, source)

    with pytest.raises(OSError, match="none"):
        store.put(log_file(NOW), source)
    with pytest.raises(PlatformError, match=r"The prediction log at s3://none/folder cannot be read: "):
        store.read(log_file(NOW), tmp_path)


def test_a_stopped_store_fails_no_request_and_loses_only_the_rows_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [port] = free_ports(1)
    store = ObjectStore("s3://log/predictions")
    room = 3 * (ENTRY_BYTES + ROWS.head(1).to_numpy().nbytes + 1 + 16)
    log = PredictionLog(store, Settings(), writer="r1", max_bytes=room)

    def logged() -> list[str]:
        """Write what waits, and return the ids of all logged requests."""
        log._writer.write()
        files = store.files("predictions", since=TWO_DAYS_AGO)
        return [request_id for file in files for request_id in store.read(file, tmp_path)["request_id"].to_pylist()]

    async def scenario() -> None:
        async with replica_api(log=log) as api, http_client(api) as client:

            async def predict(request_id: str) -> int:
                features = ROWS.head(1).to_numpy().tolist()
                headers = {"X-Request-Id": request_id}
                return (await client.post("/predict", json={"features": features}, headers=headers)).status_code

            with s3_server(tmp_path / "first.log", port=port) as url:
                create_bucket(url, monkeypatch)
                assert await predict("before") == 200
                assert await asyncio.to_thread(logged) == ["before"]
            assert [await predict(name) for name in ("1", "2", "3", "4", "5")] == [200] * 5
            await asyncio.to_thread(log._writer.write)
            assert (log.buffer.rows, log.buffer.dropped_rows) == (3, 2)
            with s3_server(tmp_path / "second.log", port=port) as url:
                create_bucket(url, monkeypatch)
                assert await predict("6") == 200
                assert await asyncio.to_thread(logged) == ["1", "2", "3"]
                assert await predict("after") == 200
                assert sorted(await asyncio.to_thread(logged)) == ["1", "2", "3", "after"]

    asyncio.run(scenario())

    assert (log.buffer.rows, log.buffer.dropped_rows) == (0, 3)
