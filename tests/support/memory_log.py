"""A store of the prediction log in memory."""

import threading
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.records.log_files import Kind, LogFile
from app.records.log_store import LogStore


class MemoryStore(LogStore):
    """Keeps tables by their file. It fails as long as `is_down` is set, and hangs until `answers` is set."""

    def __init__(self) -> None:
        self.tables: dict[LogFile, pa.Table] = {}
        self.is_down = False
        self.answers = threading.Event()
        self.answers.set()
        self.can_delete = True
        self.deleted_before: list[date] = []

    def put(self, file: LogFile, source: Path) -> None:
        self.answers.wait(60)
        if self.is_down:
            raise OSError("the store is away")
        self.tables[file] = pq.read_table(source)

    def files(self, kind: Kind, *, since: datetime) -> list[LogFile]:
        return [file for file in self.tables if file.kind == kind and file.time_ms >= since.timestamp() * 1000]

    def read(self, file: LogFile, folder: Path) -> pa.Table:  # noqa: ARG002 - nothing is downloaded
        return self.tables[file]

    def delete_before(self, day: date) -> None:
        if not self.can_delete:
            raise PermissionError("not allowed")
        self.deleted_before.append(day)

    def rows(self) -> list[dict[str, object]]:
        """All rows of all files, in the order in which they were stored."""
        return [row for table in self.tables.values() for row in table.to_pylist()]
