import json

import numpy as np
import pytest

from app.errors import FeaturesError, InvalidBodyError, MantaError, TooLargeError
from app.serving.requests import json_rows
from app.serving.requests.row_schema import RowSchema, ValueKind
from tests.support.json_object import JsonObject

SCHEMA = RowSchema(
    names=("mean radius", "count", "sold"), kinds=(ValueKind.NUMBER, ValueKind.WHOLE_NUMBER, ValueKind.BOOLEAN)
)
GOOD = {"mean radius": 17.99, "count": 2, "sold": True}
TEXT = RowSchema(names=("city", "size"), kinds=(ValueKind.TEXT, ValueKind.NUMBER))


def read(body: object, schema: RowSchema = SCHEMA) -> np.ndarray:
    return json_rows.read(json.dumps(body).encode(), schema=schema, max_rows=3)


def test_named_values_are_sorted_into_the_order_of_the_columns() -> None:
    assert read({"rows": [dict(reversed(GOOD.items()))]}).tolist() == [[17.99, 2, 1]]


def test_a_whole_number_may_have_a_decimal_point() -> None:
    assert read({"rows": [GOOD | {"count": 2.0}]}).tolist() == [[17.99, 2, 1]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "Row 0 lacks 'mean radius', 'count', 'sold'"),
        ({"count": 2, "sold": False}, "lacks 'mean radius'"),
        (GOOD | {"Count": 1}, "does not know: 'Count'"),
        (GOOD | {"count": 1.5}, r"has 1.5 in 'count'.*Allowed: a whole number in 'count'"),
        (GOOD | {"count": "2"}, r"has \"2\" in 'count'"),
        (GOOD | {"sold": 1}, r"has 1 in 'sold'.*true or false in 'sold'"),
        (GOOD | {"mean radius": True}, "has true in 'mean radius'"),
        (GOOD | {"mean radius": None}, "has null in 'mean radius'"),
        (GOOD | {"mean radius": 1e39}, r"has 1e\+39 in 'mean radius'.*finite number within float32"),
        (GOOD | {"mean radius": 10**400}, "in 'mean radius'"),
        (GOOD | {"mean radius": float("nan")}, "has NaN in 'mean radius'"),
        (GOOD | {"mean radius": [1]}, r"has \[1\] in 'mean radius'"),
    ],
)
def test_the_error_for_an_invalid_row_names_the_column(row: JsonObject, message: str) -> None:
    with pytest.raises(FeaturesError, match=message):
        read({"rows": [row]})


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"rows": []}, InvalidBodyError, r"rows is \[\]"),
        ({"rows": [[1, 2]]}, InvalidBodyError, r"rows.0 is \[1, 2\]"),
        ({"rows": GOOD}, InvalidBodyError, "rows is "),
        ({"rows": [GOOD], "features": [[1, 2, 3]]}, InvalidBodyError, "features is not known"),
        ({"rows": [GOOD] * 4}, TooLargeError, "4 rows.*up to 3 rows"),
    ],
)
def test_a_body_of_another_form_gets_an_error(body: object, error: type[MantaError], message: str) -> None:
    with pytest.raises(error, match=message):
        read(body)


@pytest.mark.parametrize(("row", "column"), [([1.0, 2.5, 1], 1), ([1.0, 2, 0.5], 2)])
def test_numbers_by_position_are_checked_against_the_signature_too(row: list[float], column: int) -> None:
    with pytest.raises(FeaturesError, match=f"Row 0, column {column} is {row[column]}"):
        read({"features": [row]})


def test_text_columns_need_rows_by_name() -> None:
    assert read({"rows": [{"size": 1, "city": "Rome"}]}, TEXT).tolist() == [["Rome", 1]]
    with pytest.raises(FeaturesError, match="'city'"):
        read({"features": [[1, 2]]}, TEXT)
    with pytest.raises(FeaturesError, match="has 5 in 'city'"):
        read({"rows": [{"size": 1, "city": 5}]}, TEXT)
