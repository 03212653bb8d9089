"""Where the prediction log is kept. `app.records.open_store` opens the store that the settings name."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import PlatformError, first_line
from app.records.log_files import Kind, LogFile

SAMPLE_ROWS: Final = 1_000
"""Maximum number of rows that tell whether the values of a column repeat."""


class LogStore(ABC):
    """Keeps the files of the prediction log. The methods that write raise whatever the store raises."""

    def write(self, file: LogFile, table: pa.Table) -> None:
        """Store a table as a file."""
        repeating = [name for name in table.column_names if _repeats(table[name])]
        with tempfile.TemporaryDirectory(prefix="manta-log-") as folder:
            source = Path(folder) / PurePosixPath(file.path).name
            pq.write_table(table, source, compression="zstd", use_dictionary=repeating)
            self.put(file, source)

    @abstractmethod
    def put(self, file: LogFile, source: Path) -> None:
        """Store a Parquet file of this machine, whose name is the last part of `file.path`."""

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


def _repeats(column: pa.ChunkedArray) -> bool:
    """Whether more than a tenth of a sample of a column are repeated values. Then a dictionary makes it smaller.

    If the numbers of a column do not repeat, pyarrow tries a dictionary in vain, which takes more time than all else.
    """
    if pa.types.is_nested(column.type):
        return False
    sample = column.take(np.linspace(0, len(column) - 1, min(len(column), SAMPLE_ROWS), dtype=np.int64))
    return len(sample.unique()) < 0.9 * len(sample)


@contextmanager
def damage_errors(file: LogFile) -> Iterator[None]:
    """Turn the errors of a damaged Parquet file into an error that names the file.

    The block reads bytes of this machine. pyarrow raises `OSError` for a damaged page.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise PlatformError(
            f"The file {file.path} of the prediction log is damaged: {first_line(error)}", next_step="Delete the file."
        ) from error
