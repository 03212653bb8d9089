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


def test_text_is_taken_by_name_and_by_position() -> None:
    assert read({"rows": [{"size": 1, "city": "Rome"}]}, TEXT).tolist() == [["Rome", 1]]
    assert read({"features": [["Rome", 1], ["[Oslo, a]", 2]]}, TEXT).tolist() == [["Rome", 1], ["[Oslo, a]", 2]]


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"rows": [{"size": 1, "city": 5}]}, FeaturesError, "has 5 in 'city'"),
        ({"features": [["Rome", 1], [1, 2]]}, FeaturesError, "Row 1, column 0 is 1. Allowed: text"),
        ({"features": [["a, [b", 1], ["Rome", "2"]]}, FeaturesError, 'Row 1, column 1 is "2"'),
        ({"features": [["a, [b", 1], ["Rome", None]]}, FeaturesError, "Row 1, column 1 is null"),
        ({"features": [["a, [b", 1], [["Rome"], 2]]}, FeaturesError, r'Row 1, column 0 is \["Rome"\]'),
        ({"features": [["a, [b", 1], ["Rome", float("nan")]]}, FeaturesError, "Row 1, column 1 is NaN"),
        ({"features": [["a, [b", 1], ["Rome", 10**400]]}, FeaturesError, "Row 1, column 1 is 1000"),
        ({"features": [["a, [b", 1], ["Rome"]]}, FeaturesError, "Row 1 has 1 values"),
        ({"features": [["a, [b", 1], "Rome"]}, InvalidBodyError, 'features.1 is "Rome": Expected `array`'),
        ({"features": [["Rome", 1]] * 4}, TooLargeError, "4 rows"),
    ],
)
def test_the_error_for_a_row_with_text_names_the_value(body: object, error: type[MantaError], message: str) -> None:
    with pytest.raises(error, match=message):
        read(body, TEXT)
