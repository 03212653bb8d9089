"""The prediction log in a folder of an object store."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from app.errors import PlatformError, first_line
from app.records.log_files import Kind, LogFile
from app.records.log_store import LogStore, damage_errors

log = logging.getLogger(__name__)


class ObjectStore(LogStore):
    """Keeps the log in a folder of an object store, by pyarrow and the identity of this process.

    Args:
        url: `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `abfs://...`, with pyarrow's parameters.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: tuple[Any, str] | None = None  # pyarrow has no types

    def put(self, file: LogFile, source: Path) -> None:
        """See `LogStore.put`."""
        filesystem, root = self._connect()
        # No folder is created: an object store has none, and a role that may only write objects could not create it.
        with filesystem.open_output_stream(f"{root}/{_day_folder(file.day)}/{file.path}") as stream:
            stream.write(source.read_bytes())

    def files(self, kind: Kind, *, since: datetime) -> list[LogFile]:
        """See `LogStore.files`."""
        with self._errors():
            filesystem, root = self._connect()
            files = []
            day = since.date()
            while day <= datetime.now(UTC).date():
                folder = f"{root}/{_day_folder(day)}"
                selector = fs.FileSelector(f"{folder}/{kind}", recursive=True, allow_not_found=True)
                for info in filesystem.get_file_info(selector):
                    file = LogFile.parse(info.path.removeprefix(f"{folder}/"))
                    if file is not None and file.time_ms >= since.timestamp() * 1000:
                        files.append(file)
                day += timedelta(days=1)
        return files

    def read(self, file: LogFile, folder: Path) -> pa.Table:  # noqa: ARG002 - the file is read into memory
        """See `LogStore.read`."""
        with self._errors():
            filesystem, root = self._connect()
            with filesystem.open_input_file(f"{root}/{_day_folder(file.day)}/{file.path}") as stream:
                content = stream.read_buffer()
        with damage_errors(file):
            return pq.read_table(pa.BufferReader(content))

    def delete_before(self, day: date) -> None:
        """See `LogStore.delete_before`."""
        filesystem, root = self._connect()
        for info in filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True)):
            name = info.base_name
            if name.startswith("date=") and name < _day_folder(day):
                filesystem.delete_dir(info.path)
                log.info("the prediction log of %s was deleted", name.removeprefix("date="))

    def _connect(self) -> tuple[Any, str]:
        if self._connection is None:
            filesystem, path = fs.FileSystem.from_uri(self._url)
            self._connection = filesystem, path.rstrip("/")
        return self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError) as error:
            raise PlatformError(
                f"The prediction log at {self._url.partition('?')[0]} cannot be read: {first_line(error)}",
                next_step="Check the URL, and the role of this process or the credentials in its environment.",
            ) from error


def _day_folder(day: date) -> str:
    return f"date={day.isoformat()}"
