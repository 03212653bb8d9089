"""Tables in files: the format by the file ending, the check of the size before reading, and the parsers.

`app.training.data.sources` decides where a file is, and `app.training.data.columns` which types its columns get.
"""

import zlib
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, Final

import pandas as pd
from pyarrow import parquet

from app.errors import DataError
from app.training.data.files import HEAD_BYTES
from app.training.data.memory import check_fits, estimate_csv_cells

PARQUET: Final = ".parquet"
GZIPPED_CSV: Final = ".csv.gz"


def find_ending(path: str) -> str:
    """Return the ending that decides the format of a file.

    Raises:
        DataError: The file has no known ending.
    """
    ending = next((ending for ending in READERS if path.lower().endswith(ending)), None)
    if ending is None:
        raise DataError(
            f"{path} has no known file ending.",
            allowed=f"{', '.join(READERS)}, or a folder of Parquet files",
            next_step="Save the table in one of these formats.",
        )
    return ending


def read_table(file: BinaryIO, ending: str, *, source: str) -> pd.DataFrame:
    """Read a table from a file on this machine.

    Args:
        file: The file, positioned at its start.
        ending: Its ending, from `find_ending`.
        source: Path or URL that the user gave.

    Raises:
        DataError: The file is empty, is not of the format, or needs more memory than there is.
    """
    size_bytes = file.seek(0, 2)
    file.seek(0)
    try:
        if ending != PARQUET:
            check_csv_head(file.read(HEAD_BYTES), size_bytes, ending=ending, source=source)
            file.seek(0)
        return READERS[ending](file, source) if size_bytes else _empty(source)
    except pd.errors.EmptyDataError:
        return _empty(source)
    except (ValueError, OSError, EOFError, zlib.error) as error:  # parse errors of pandas and pyarrow are ValueErrors
        name = "Parquet" if ending == PARQUET else "CSV"
        raise DataError(
            f"{source} cannot be read as {name}: {str(error).strip().splitlines()[0]}",
            next_step="Check that the file is complete and that its ending matches its format.",
        ) from error


def check_csv_head(head: bytes, size_bytes: int, *, ending: str, source: str) -> None:
    """Check that there is memory for a CSV file; other files are checked when they are opened.

    Args:
        head: The first bytes of the file.
        size_bytes: Size of the file.
        ending: Its ending.
        source: Path or URL that the user gave.

    Raises:
        DataError: The file needs more memory than there is.
    """
    if ending == PARQUET or not head:
        return
    text = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head) if ending == GZIPPED_CSV else head
    text_bytes = round(size_bytes * len(text) / len(head))
    check_fits(estimate_csv_cells(text, text_bytes), text_bytes, source)


def _read_csv(file: BinaryIO, _source: str, *, compression: str | None = None) -> pd.DataFrame:
    # With low_memory, a column could get numbers from one part of the file and text from another.
    frame: pd.DataFrame = pd.read_csv(file, compression=compression, low_memory=False)
    return frame


def _read_parquet(file: BinaryIO, source: str) -> pd.DataFrame:
    with parquet.ParquetFile(file) as parquet_file:
        metadata = parquet_file.metadata
        size_bytes = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        check_fits(metadata.num_rows * metadata.num_columns, size_bytes, source)
        # With these options a column of the table is freed as soon as it is converted.
        frame: pd.DataFrame = parquet_file.read().to_pandas(split_blocks=True, self_destruct=True)
        return frame


def _empty(source: str) -> pd.DataFrame:
    raise DataError(f"{source} is empty.", next_step="Give a file with a header and rows.")


READERS: Final[dict[str, Callable[[BinaryIO, str], pd.DataFrame]]] = {
    ".csv": _read_csv,
    GZIPPED_CSV: partial(_read_csv, compression="gzip"),
    PARQUET: _read_parquet,
}
"""Function that reads a file, by file ending."""
