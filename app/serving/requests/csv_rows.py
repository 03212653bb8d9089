"""Converts the CSV body of MLflow's scoring protocol to a matrix.

The first line names the columns. As in MLflow's scoring server, columns that the model does not have are ignored, and
the texts of `MISSING` are missing values. The process that reads large bodies imports this module, so it imports
neither MLflow nor pandas.
"""

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import numpy as np

from app.errors import InvalidBodyError
from app.serving.requests import decoded_rows, row_errors
from app.serving.requests.dataframe_rows import positions
from app.serving.requests.json_rows import Value
from app.serving.requests.row_schema import RowSchema, ValueKind

MISSING: Final = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Texts that `pandas.read_csv` takes for missing values."""

BOOLEANS: Final = {"true": True, "false": False}
"""Booleans as `pandas.read_csv` reads them, in any case."""


def read(body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
    """Convert a body to a matrix; see `app.serving.requests.body_forms.read`.

    Raises:
        InvalidBodyError: The body is no CSV in UTF-8.
        FeaturesError: A row does not match the columns.
        TooLargeError: The body has more than `max_rows` rows.
    """
    try:
        lines = csv.reader(io.StringIO(bytes(body).decode("utf-8-sig"), newline=""), strict=True)
        names = next(lines, [])
        indices = positions(names, schema)
        rows: list[list[Value]] = []
        for index, fields in enumerate(line for line in lines if line):
            if index == max_rows:
                raise row_errors.too_many_rows(1 + index + sum(1 for line in lines if line), max_rows)
            if len(fields) != len(names):
                raise _invalid(f"Row {index} has {len(fields)} values for {len(names)} columns.")
            texts = (None if index is None else fields[index] for index in indices)
            rows.append([_value(text, kind) for text, kind in zip(texts, schema.kinds, strict=True)])
    except UnicodeDecodeError as error:
        raise _invalid("The body is not UTF-8.") from error
    except csv.Error as error:
        raise _invalid(f"The body is not CSV: {error}.") from error
    decoded_rows.check_count(len(rows), max_rows)
    return decoded_rows.to_matrix(rows, schema)


def _value(text: str | None, kind: ValueKind) -> Value:
    """Convert the text of a value to the type of its column. A text of another type stays, and is refused later."""
    if text is None or text in MISSING:
        return None
    return CONVERSIONS[kind](text)


def _number(text: str) -> Value:
    with suppress(ValueError):
        return text if "_" in text else float(text)
    return text


def _keep(text: str) -> Value:
    return text


CONVERSIONS: Final[dict[ValueKind, Callable[[str], Value]]] = {
    ValueKind.NUMBER: _number,
    ValueKind.WHOLE_NUMBER: _number,
    ValueKind.BOOLEAN: lambda text: BOOLEANS.get(text.lower(), text),
    ValueKind.TEXT: _keep,
    ValueKind.DATE: _keep,
}
"""How a text becomes a value of each kind of column."""


def _invalid(detail: str) -> InvalidBodyError:
    return InvalidBodyError(
        detail,
        allowed="CSV in UTF-8 whose first line names the columns",
        next_step="Send the output of DataFrame.to_csv(index=False).",
    )
