"""The answers of prediction requests as a table: its columns, and the CSV or Parquet file that holds it."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Self

from app.cli.json_object import JsonObject

if TYPE_CHECKING:  # importing pyarrow takes a third of a second
    from pyarrow import parquet

Columns = dict[str, list[object]]
"""Values by column. All columns have the same length."""

PREDICTIONS: Final = "predictions"
PROBABILITIES: Final = "probabilities"
OUTPUT_PROBABILITIES: Final = "output_probabilities"
"""Fields of an answer that have columns of other names."""


def to_columns(response: JsonObject, model: JsonObject) -> Columns:
    """Arrange an answer of `/predict` as columns.

    The first columns are `prediction` and `probability_CLASS`. Every further field of the answer follows under its own
    name. A field with several values per row has a column for each: `NAME_CLASS`, `NAME_0` or `NAME_KEY`. Probabilities
    of several outputs are `probability_OUTPUT_CLASS`.

    Args:
        response: The answer.
        model: The response of `GET /model`, with the classes of the model in the order of the probabilities.
    """
    classes = model["classes"]
    columns = _flatten("prediction", response[PREDICTIONS], ())
    columns |= _flatten("probability", response.get(PROBABILITIES) or [], classes)
    for output, labels in enumerate(model.get("output_classes") or ()):
        rows = response.get(OUTPUT_PROBABILITIES) or []
        columns |= _flatten(f"probability_{output}", [row[output] for row in rows], labels)
    for name, values in response.items():
        if isinstance(values, list) and name not in {PREDICTIONS, PROBABILITIES, OUTPUT_PROBABILITIES}:
            columns |= _flatten(name, values, classes)
    return columns


def _flatten(name: str, values: Sequence[object], keys: Sequence[object]) -> Columns:
    """Divide values that are lists or objects into one column for each of their elements."""
    first = values[0] if values else None
    if isinstance(first, Mapping):
        rows = [list(row.values()) for row in values if isinstance(row, Mapping)]
        return _flatten(name, rows, list(first))
    if not isinstance(first, list):
        return {name: list(values)} if values else {}
    names = keys if len(keys) == len(first) else range(len(first))
    columns: Columns = {}
    for index, key in enumerate(names):
        columns |= _flatten(f"{name}_{key}", [row[index] for row in values if isinstance(row, list)], keys)
    return columns


class CsvWriter:
    """Writes a CSV file with a header.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._has_header = False

    def __enter__(self) -> Self:
        self._file: IO[str] = self._path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, columns: Columns) -> None:
        """Write a batch, after the header if it is the first one."""
        if not self._has_header:
            self._writer.writerow(columns)
            self._has_header = True
        self._writer.writerows(zip(*columns.values(), strict=True))


class ParquetWriter:
    """Writes a Parquet file. The first batch decides the types of its columns.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: parquet.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, columns: Columns) -> None:
        """Write a batch as one row group."""
        import pyarrow as pa  # noqa: PLC0415 - see above
        from pyarrow import parquet  # noqa: PLC0415 - as pyarrow

        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, pa.table(columns).schema)
        self._writer.write_table(pa.table(columns, schema=self._writer.schema))


def writer(path: Path, *, is_parquet: bool) -> CsvWriter | ParquetWriter:
    """Create the writer of a file."""
    return ParquetWriter(path) if is_parquet else CsvWriter(path)
