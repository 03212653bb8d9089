"""The rows of a CSV or Parquet file, in batches, as the values of prediction requests.

pandas reads CSV files as it does for a training, so that the same cells count as missing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from app.cli.json_object import JsonObject
from app.errors import DataError

if TYPE_CHECKING:  # importing pandas takes half a second, so only the functions that read a file import it
    import pandas as pd

BATCH_ROWS: Final = 1000
"""Rows that are read at once."""

FileKind = Literal["csv", "csv.gz", "parquet", "json"]

MAGIC: Final[dict[bytes, FileKind]] = {b"PAR1": "parquet", b"\x1f\x8b": "csv.gz", b"{": "json", b"[": "json"}
"""First bytes of a file of each kind. Every other file is a CSV file."""

HEAD_BYTES: Final = 1024
"""Bytes of a file that are read to recognise its kind."""

BOOLEANS: Final = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
"""Booleans as they stand in a file, in lower case."""

Value = str | float | int | bool | None


@dataclass(frozen=True, kw_only=True)
class ModelColumns:
    """The columns that the loaded model takes."""

    types: Mapping[str, str]
    """MLflow's type of each column, by name, in the order of the columns."""
    optional: frozenset[str]
    """Columns that may be missing."""

    @classmethod
    def of(cls, model: JsonObject) -> Self:
        """Read the columns from the response of `GET /model`."""
        types = model.get("column_types") or [NUMBER] * len(model["columns"])
        return cls(
            types=dict(zip(model["columns"], types, strict=True)),
            optional=frozenset(model.get("optional_columns") or ()),
        )


def file_kind(path: Path, *, name: str) -> FileKind:
    """Recognise the kind of a file by its first bytes.

    Raises:
        DataError: The file cannot be read, or is empty.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(
            f"{name} cannot be read: {error.strerror}.",
            next_step="Give a CSV, Parquet or JSON file, or - for standard input.",
        ) from error
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise DataError(f"{name} is empty.", next_step="Give a file with rows: CSV with a header, Parquet, or JSON.")
    return next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "csv")


def read_batches(
    path: Path, kind: FileKind, columns: ModelColumns, *, name: str, report: Callable[[str], None]
) -> Iterator[list[dict[str, Value]]]:
    """Read a CSV or Parquet file in batches.

    Args:
        path: The file.
        kind: Kind of the file.
        columns: Columns of the model.
        name: Name of the file in messages.
        report: Receives a warning about columns that the model does not know.

    Yields:
        At most `BATCH_ROWS` rows by column name. A missing value is None. An optional column that the file lacks is
        left out.

    Raises:
        DataError: The file is damaged, has no rows, lacks a column of the model, or holds a value of another type.
    """
    with _reading(name):
        present = _columns_to_read(_file_columns(path, kind), columns, name=name, report=report)
        row_count = 0
        for frame in _frames(path, kind, present):
            values = [_convert(frame[column], columns.types[column], row_count, name=name) for column in present]
            row_count += len(frame)
            if len(frame):
                yield [dict(zip(present, row, strict=True)) for row in zip(*values, strict=True)]
    if not row_count:
        raise DataError(f"{name} has no rows.", next_step="Add rows.")


def _columns_to_read(
    file_columns: Sequence[str], columns: ModelColumns, *, name: str, report: Callable[[str], None]
) -> list[str]:
    """The columns of the model that the file has, in the order of the model."""
    missing = [column for column in columns.types if column not in {*file_columns, *columns.optional}]
    if columns.types.keys().isdisjoint(file_columns):
        missing = list(columns.types)
    if missing:
        raise DataError(
            f"{name} lacks columns of the model: {', '.join(missing)}.",
            next_step="Name the columns as `GET /model` lists them; in a CSV file the first line names them.",
        )
    unknown = [column for column in file_columns if column not in columns.types]
    if unknown:
        report(f"warning: columns that the model does not know are ignored: {', '.join(unknown)}")
    return [column for column in columns.types if column in file_columns]


def _file_columns(path: Path, kind: FileKind) -> list[str]:
    import pandas as pd  # noqa: PLC0415 - see above
    from pyarrow import parquet  # noqa: PLC0415 - as pandas

    if kind == "parquet":
        return list(parquet.ParquetFile(path).schema_arrow.names)
    return list(pd.read_csv(path, nrows=0, compression=_compression(kind), encoding="utf-8-sig").columns)


def _frames(path: Path, kind: FileKind, columns: list[str]) -> "Iterator[pd.DataFrame]":
    """Read the columns in batches. Values of a CSV file stay text, because the model decides their types."""
    import pandas as pd  # noqa: PLC0415 - see above
    from pyarrow import parquet  # noqa: PLC0415 - as pandas

    if kind == "parquet":
        for batch in parquet.ParquetFile(path).iter_batches(BATCH_ROWS, columns=columns):
            # Without this, pandas makes fractions of whole numbers in a column with gaps.
            yield batch.to_pandas(types_mapper=pd.ArrowDtype)
    else:
        with pd.read_csv(
            path, dtype=str, chunksize=BATCH_ROWS, compression=_compression(kind), encoding="utf-8-sig"
        ) as frames:
            for frame in frames:
                if not isinstance(frame.index, pd.RangeIndex):  # pandas took the first column for names of rows
                    raise pd.errors.ParserError("a row has more values than its header has columns")
                yield frame[columns]


def _compression(kind: FileKind) -> Literal["gzip"] | None:
    return "gzip" if kind == "csv.gz" else None


def _convert(values: "pd.Series", kind: str, first_row: int, *, name: str) -> list[Value]:
    """Convert a column to the type that the model takes."""
    convert = CONVERTERS.get(kind, _to_text)
    converted: list[Value] = []
    for row, (value, is_missing) in enumerate(zip(values, values.isna(), strict=True), start=first_row + 1):
        try:
            converted.append(None if is_missing else convert(value))
        except (TypeError, ValueError, KeyError) as error:
            raise DataError(
                f"Row {row} of {name} has {value!r} in column {values.name}, which takes {DESCRIPTIONS[kind]}.",
                next_step="Correct the row.",
            ) from error
    return converted


def _to_float(value: object) -> float:
    return float(value)  # type: ignore[arg-type] # another type raises TypeError, which the caller expects


def _to_integer(value: object) -> int:
    number = float(value)  # type: ignore[arg-type] # as above
    if not number.is_integer():
        raise ValueError
    return int(value) if isinstance(value, int | str) and str(value).lstrip("+-").isdigit() else int(number)


def _to_boolean(value: object) -> bool:
    return BOOLEANS[str(value).lower()]


def _to_text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


NUMBER: Final = "double"
"""Type of the columns of a service that does not name their types."""

CONVERTERS: Final[Mapping[str, Callable[[object], Value]]] = {
    NUMBER: _to_float,
    "float": _to_float,
    "long": _to_integer,
    "integer": _to_integer,
    "boolean": _to_boolean,
}
"""How the values of each type of column are converted. Every other type is text."""

DESCRIPTIONS: Final = {
    NUMBER: "numbers",
    "float": "numbers",
    "long": "whole numbers",
    "integer": "whole numbers",
    "boolean": "true or false",
}
"""What the columns of each type take, for error messages."""


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turn the errors of pandas and pyarrow about damaged files into errors for the user."""
    import pandas as pd  # noqa: PLC0415 - see above
    import pyarrow as pa  # noqa: PLC0415 - as pandas

    try:
        yield
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise DataError(
            f"{name} cannot be read: {str(error).strip().splitlines()[0]}",
            next_step="Give a CSV file in UTF-8 with a header, or a Parquet file.",
        ) from error
