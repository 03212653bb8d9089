import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FeaturesError, InvalidBodyError, MantaError, TooLargeError
from app.serving.requests import json_rows
from app.serving.requests.row_schema import RowSchema, ValueKind

SCHEMA = RowSchema(names=("a", "b"), kinds=(ValueKind.NUMBER, ValueKind.NUMBER))


def read(body: bytes) -> np.ndarray:
    return json_rows.read(body, schema=SCHEMA, max_rows=3)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", InvalidBodyError, "not JSON: Input data was truncated"),
        (b'{"features": [[1, 2', InvalidBodyError, "not JSON: Input data was truncated"),
        (b"\xff", InvalidBodyError, "not JSON"),
        (b"null", InvalidBodyError, "The body is null"),
        (b"[[1, 2]]", InvalidBodyError, r"The body is \[\[1, 2\]\]"),
        (b"{}", InvalidBodyError, "features is missing"),
        (b'{"features": [[1, 2]], "name": "x"}', InvalidBodyError, "name is not known"),
        (b'{"features": {"a": 1}}', InvalidBodyError, r'features is \{"a": 1\}'),
        (b'{"features": []}', InvalidBodyError, r"features is \[\]"),
        (b'{"features": [[]]}', FeaturesError, "Row 0 has 0 values"),
        (b'{"features": [[1, 2], 3]}', InvalidBodyError, "features.1 is 3"),
        (b'{"features": [[1, 2], [1, "2"]]}', FeaturesError, 'Row 1, column 1 is "2"'),
        (b'{"features": [[1, null]]}', FeaturesError, "Row 0, column 1 is null"),
        (b'{"features": [[1, true]]}', FeaturesError, "Row 0, column 1 is true"),
        (b'{"features": [[NaN, 1]]}', FeaturesError, "Row 0, column 0 is NaN"),
        (b'{"features": [[1, 2], [1, Infinity]]}', FeaturesError, "Row 1, column 1 is Infinity"),
        (b'{"features": [[1, -Infinity]]}', FeaturesError, "Row 0, column 1 is -Infinity"),
        (b'{"features": [[1, 1e999]]}', FeaturesError, "Row 0, column 1 is 1e999"),
        (b'{"features": [[1, 2], [1, 1e39]]}', FeaturesError, "Row 1, column 1 is 1e39"),
        (b'{"features": [[1, 2], [1, 2, 3]]}', FeaturesError, r"Row 1 has 3 values.*2 values per row \(a, b\)"),
        (b'{"features": [[1]]}', FeaturesError, "Row 0 has 1 values"),
        (b'{"features": [[1,2],[1,2],[1,2],[1,2]]}', TooLargeError, "4 rows.*up to 3 rows"),
    ],
)
def test_the_error_for_an_invalid_body_names_the_invalid_part(
    body: bytes, error: type[MantaError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(body)


def test_a_long_invalid_value_is_shortened_in_the_error() -> None:
    with pytest.raises(FeaturesError) as caught:
        read(b'{"features": [[1, "' + b"x" * 10_000 + b'"]]}')

    assert len(str(caught.value)) < 300


def test_the_problem_document_has_the_indices_of_row_and_column() -> None:
    with pytest.raises(FeaturesError) as caught:
        read(b'{"features": [[1, 2], [null, 1]]}')

    problem = caught.value.problem("/predict")
    assert (problem["status"], problem["row"], problem["column"]) == (422, 1, 0)


@given(st.lists(st.tuples(*2 * [st.floats(width=32, allow_nan=False, allow_infinity=False)]), min_size=1, max_size=3))
def test_every_finite_float32_number_is_read_exactly(rows: list[tuple[float, float]]) -> None:
    body = '{"features": ' + str([list(row) for row in rows]) + "}"

    assert read(body.encode()).tolist() == [list(row) for row in rows]
