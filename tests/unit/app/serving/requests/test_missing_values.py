"""Rows that lack values: accepted in optional columns only."""

import json

import numpy as np
import pytest

from app.errors import FeaturesError
from app.serving.requests import json_rows, npy_rows
from app.serving.requests.row_schema import RowSchema, ValueKind
from tests.support.json_object import JsonObject

NUMBERS = RowSchema(names=("a", "b"), kinds=(ValueKind.NUMBER,) * 2, optional=frozenset({1}))
ANY = RowSchema(names=("a", "b"), kinds=(ValueKind.NUMBER,) * 2, optional=frozenset({0, 1}))
TYPED = RowSchema(names=("n", "ok"), kinds=(ValueKind.WHOLE_NUMBER, ValueKind.BOOLEAN), optional=frozenset({0, 1}))
TEXT = RowSchema(
    names=("city", "n", "when"),
    kinds=(ValueKind.TEXT, ValueKind.NUMBER, ValueKind.DATE),
    optional=frozenset({0, 2}),
)


def read(body: object, schema: RowSchema) -> list[list[object]]:
    rows: list[list[object]] = json_rows.read(json.dumps(body).encode(), schema=schema, max_rows=5).tolist()
    return [[None if value != value else value for value in row] for row in rows]  # noqa: PLR0124 - NaN


def npy(matrix: np.ndarray) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {matrix.shape}}}".encode()
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + matrix.tobytes()


@pytest.mark.parametrize(
    ("schema", "body", "rows"),
    [
        (NUMBERS, {"features": [[1, None], [2, 3]]}, [[1, None], [2, 3]]),
        (NUMBERS, {"rows": [{"b": None, "a": 1}, {"a": 2}]}, [[1, None], [2, None]]),
        (ANY, {"features": [[None, None]]}, [[None, None]]),
        (ANY, {"rows": [{}, {"b": 2}]}, [[None, None], [None, 2]]),
        (TYPED, {"features": [[None, 1], [3, None]]}, [[None, 1], [3, None]]),
        (TYPED, {"rows": [{"ok": None, "n": 3}, {"ok": True}]}, [[3, None], [None, 1]]),
        (TEXT, {"features": [[None, 1, None]]}, [[None, 1, None]]),
        (TEXT, {"rows": [{"n": 1}, {"n": 2, "when": "2026-01-31"}]}, [[None, 1, None], [None, 2, "2026-01-31"]]),
    ],
)
def test_an_optional_column_may_be_null_or_absent(schema: RowSchema, body: JsonObject, rows: list[object]) -> None:
    assert read(body, schema) == rows


def test_nan_in_an_array_is_a_missing_value() -> None:
    matrix = npy_rows.read(npy(np.array([[1, np.nan], [2, 3]])), schema=NUMBERS, max_rows=5)

    assert matrix.tolist()[1] == [2, 3]
    assert matrix[0, 0] == 1
    assert np.isnan(matrix[0, 1])


@pytest.mark.parametrize(
    ("schema", "body", "message"),
    [
        (
            NUMBERS,
            {"features": [[1, 2], [None, 2]]},
            "Row 1, column 0 is null. Allowed: a finite number within float32. ",
        ),
        (NUMBERS, {"features": [[1, "2"]]}, 'Row 0, column 1 is "2". Allowed: a finite number within float32, or null'),
        (NUMBERS, {"features": [[1, float("nan")]]}, "Row 0, column 1 is NaN"),
        (NUMBERS, {"features": [[1, 1e39]]}, r"Row 0, column 1 is 1e\+39"),
        (NUMBERS, {"rows": [{"b": 1}]}, "Row 0 lacks 'a'"),
        (NUMBERS, {"rows": [{"a": None}]}, "has null in 'a'.*Allowed: a finite number within float32 in 'a'"),
        (NUMBERS, {"rows": [{"a": 1, "c": 2}]}, "does not know: 'c'"),
        (TYPED, {"features": [[1.5, None]]}, "column 0 is 1.5. Allowed: a whole number, or null"),
        (TYPED, {"rows": [{"ok": 0}]}, "has 0 in 'ok'.*true or false, or null in 'ok'"),
        (TEXT, {"rows": [{"n": None}]}, "has null in 'n'"),
        (TEXT, {"rows": [{"n": 1, "when": "yesterday"}]}, "has \"yesterday\" in 'when'.*ISO 8601"),
        (TEXT, {"features": [["Rome", 1, "2026-01-31T10:00:00+01:00"]]}, "column 2 is .*without a time zone"),
    ],
)
def test_any_other_gap_is_refused_with_its_place(schema: RowSchema, body: JsonObject, message: str) -> None:
    with pytest.raises(FeaturesError, match=message):
        read(body, schema)


def test_nan_in_a_column_that_is_not_optional_is_refused() -> None:
    with pytest.raises(FeaturesError, match="Row 0, column 0 is NaN"):
        npy_rows.read(npy(np.array([[np.nan, 1]])), schema=NUMBERS, max_rows=5)
