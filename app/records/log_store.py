"""Where the prediction log is kept. `app.records.open_store` opens the store that the settings name."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa

from app.errors import PlatformError
from app.records.log_files import Kind, LogFile


class LogStore(ABC):
    """Keeps the files of the prediction log. The methods that write raise whatever the store raises."""

    @abstractmethod
    def put(self, file: LogFile, source: Path) -> None:
        """Store a file."""

    @abstractmethod
    def files(self, kind: Kind, *, since: datetime) -> list[LogFile]:
        """List the files that were written since a time.

        Raises:
            MantaError: The store does not answer.
        """

    @abstractmethod
    def read(self, file: LogFile, folder: Path) -> pa.Table:
        """Download a file into a folder and read it.

        Raises:
            MantaError: The store does not answer, or the file is damaged.
        """

    @abstractmethod
    def delete_before(self, day: date) -> None:
        """Delete all files of the days before a day."""


@contextmanager
def damage_errors(file: LogFile) -> Iterator[None]:
    """Turn the errors of a damaged Parquet file into an error that names the file.

    The block reads bytes that are on this machine, so that an `OSError` is no failed connection: pyarrow raises it for a
    damaged page.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise PlatformError(
            f"The file {file.path} of the prediction log is damaged: {error}", next_step="Delete the file."
        ) from error
