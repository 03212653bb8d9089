"""Says what is wrong in a JSON body, from the error of the decoder that stopped at the first fault.

The decoder names the place. The value is looked up in the text there: nothing before it is decoded again, except for
rows by name and rows with text.
"""

import json
import math
import re
from typing import Final

import msgspec

from app.errors import MantaError
from app.serving.requests import row_errors
from app.serving.requests.row_schema import RowSchema

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for an invalid body."""

UNKNOWN_ROWS: Final = "unknown field `rows`"
"""Part of the decoder's message if a body has the key `rows`, but is decoded as rows by position."""

BEGINNING: Final = re.compile(rb'\s*\{\s*"(features|rows)"\s*:\s*')
"""Beginning of a body, up to the list of rows."""

PATH: Final = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
"""Form of the decoder's message about a value of a wrong type: the reason, and the path of the value in the body."""

PLACE: Final = re.compile(r"\.(?:features|rows)(?:\[(\d+)\](?:\[(\d+|\.\.\.)\])?)?")
"""The path of a row or of a value in a body."""

FIELD: Final = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)
"""The message of a decoder about a key of the body."""

BYTE: Final = re.compile(r"\(byte (\d+)\)$")
"""End of the message of a decoder about invalid JSON."""

NOT_FINITE: Final = re.compile(rb"-?(?:NaN|Infinity)")
"""Tokens that Python writes for numbers that are not finite. JSON has no such numbers."""

BETWEEN_ROWS: Final = re.compile(r"[ \t\r\n,]*")
"""Text between two rows."""

LOOKED_AT_BYTES: Final = 8 * row_errors.MAX_SHOWN_CHARACTERS
"""Bytes of an invalid value that are looked at."""

MAX_DIGITS: Final = 4000
"""Digits of an integer. Python refuses longer ones."""


def explain(body: bytes | bytearray, error: Exception, *, schema: RowSchema) -> MantaError:
    """Build the error that names the first fault of a body.

    Args:
        body: The body.
        error: What the decoder raised, one of `DECODE_ERRORS`.
        schema: The model's columns.
    """
    if isinstance(error, UnicodeDecodeError):
        return row_errors.not_json("it is not UTF-8")
    if isinstance(error, RecursionError):
        return row_errors.not_json("it is nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return _not_finite(body, str(error), schema) or row_errors.not_json(
            str(error).removeprefix("JSON is malformed: ")
        )
    return _wrong_value(body, str(error), schema)


def _wrong_value(body: bytes | bytearray, message: str, schema: RowSchema) -> MantaError:
    """Build the error for a value of a wrong type, or for a missing or unknown key."""
    match = PATH.fullmatch(message)
    reason, path = (match["reason"], match["path"] or "") if match else (message, "")
    field = FIELD.fullmatch(reason)
    if field:
        state = "is missing" if field[1].startswith("missing") else "is not known"
        return row_errors.invalid_form(f"{row_errors.shortened(field[2])} {state}.")
    place, beginning = PLACE.fullmatch(path), BEGINNING.match(body)
    if place is None or beginning is None:
        subject = path.removeprefix(".") or f"The body is {_value_at(body, 0)}"
        return row_errors.invalid_form(f"{subject}: {reason}.")
    key, start = beginning[1].decode(), beginning.end()
    if place[1] is None:
        return row_errors.invalid_form(f"{key} is {_value_at(body, start)}: {reason}.")
    row = int(place[1])
    if key == "rows" or schema.holds_text:
        return _row_error(body, start + 1, key, schema, row=row) or row_errors.invalid_form(f"{key}.{row}: {reason}.")
    return _wrong_positional_value(body, start + 1, row, place[2], reason, schema)


def _wrong_positional_value(
    body: bytes | bytearray, start: int, row: int, column: str | None, reason: str, schema: RowSchema
) -> MantaError:
    """Build the error for a row of numbers by position that is no list, or for a value in it.

    Args:
        body: The body.
        start: Position after the bracket that begins the list of rows.
        row: Index of the row.
        column: Index of the value; None if the row is no list.
        reason: What the decoder expected.
        schema: The model's columns.
    """
    if column is None:
        start = _skip(body, _skip(body, start, b"]", row), b",", min(row, 1))
        return row_errors.invalid_form(f"features.{row} is {_value_at(body, start)}: {reason}.")
    start = _skip(body, start, b"[", row + 1)
    return row_errors.invalid_value(row, int(column), _value_at(body, _skip(body, start, b",", int(column))), schema)


def _skip(body: bytes | bytearray, start: int, separator: bytes, count: int) -> int:
    """Return the position after the next separators. The skipped part has been checked: it contains only numbers."""
    for _ in range(count):
        start = body.find(separator, start) + 1
    return start


def _value_at(body: bytes | bytearray, start: int) -> str:
    """Return the text of the value that begins at a position, shortened."""
    text = bytes(body[start : start + LOOKED_AT_BYTES]).decode(errors="replace").lstrip()
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):  # the value is longer, or not JSON
        end = len(text)
    return row_errors.shortened(text[:end])


def _not_finite(body: bytes | bytearray, message: str, schema: RowSchema) -> MantaError | None:
    """Build the error for a number that is not finite; None if the fault is another one."""
    byte, beginning = BYTE.search(message), BEGINNING.match(body)
    if byte is None or beginning is None:
        return None
    position = int(byte[1])
    position -= body[position - 1 : position] == b"-"
    token = NOT_FINITE.match(body, position)
    if token is None:
        return None
    start = beginning.end() + 1
    if beginning[1] == b"rows" or schema.holds_text:
        return _row_error(body, start, beginning[1].decode(), schema, until=position)
    row_start = body.rfind(b"[", start, position)
    if row_start < 0:
        return None
    row, column = body.count(b"[", start, row_start), body.count(b",", row_start, position)
    return row_errors.invalid_value(row, column, token[0].decode(), schema)


def _row_error(
    body: bytes | bytearray,
    start: int,
    key: str,
    schema: RowSchema,
    *,
    row: int | None = None,
    until: int | None = None,
) -> MantaError | None:
    """Build the error for a row of any values: the row with an index, or the row that contains a position.

    Args:
        body: The body.
        start: Position after the bracket that begins the list of rows.
        key: `rows` or `features`.
        schema: The model's columns.
        row: Index of the row.
        until: A position in the row.

    Returns:
        None if the row cannot be decoded.
    """
    decoder = json.JSONDecoder(parse_int=_parse_int)
    text = bytes(body[start:]).decode(errors="surrogateescape")
    offset = len(bytes(body[start:until]).decode(errors="surrogateescape")) if until is not None else 0
    index, position = 0, 0
    try:
        while True:
            separator = BETWEEN_ROWS.match(text, position)
            value, position = decoder.raw_decode(text, separator.end() if separator else position)
            if index == row or (until is not None and position > offset):
                break
            index += 1
        if not isinstance(value, dict if key == "rows" else list):
            shown = row_errors.shortened(json.dumps(value))
            expected = "object" if key == "rows" else "array"
            return row_errors.invalid_form(f"{key}.{index} is {shown}: Expected `{expected}`.")
        row_errors.check_row(index, value, schema)
    except MantaError as error:
        return error
    except (ValueError, RecursionError):  # the row is not JSON
        return None
    return None


def _parse_int(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)
