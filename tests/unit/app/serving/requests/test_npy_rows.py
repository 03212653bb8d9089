import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import FeaturesError, InvalidBodyError, MantaError, TooLargeError
from app.serving.requests import npy_rows
from app.serving.requests.row_schema import RowSchema, ValueKind

SCHEMA = RowSchema(names=("a", "b"), kinds=(ValueKind.NUMBER, ValueKind.NUMBER))


def saved(values: Any, dtype: str = "f8") -> bytes:  # noqa: ANN401 - any input of np.asarray
    stream = io.BytesIO()
    np.save(stream, np.asarray(values, dtype=dtype))
    return stream.getvalue()


def read(body: bytes, schema: RowSchema = SCHEMA) -> np.ndarray:
    return npy_rows.read(body, schema=schema, max_rows=3)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u4", "i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_dtype_and_order_are_read_exactly(dtype: str, order: Any) -> None:  # noqa: ANN401 - numpy's type is private
    stream = io.BytesIO()
    np.save(stream, np.array([[1, 2], [3, 4], [5, 6]], dtype=dtype, order=order))

    matrix = read(stream.getvalue())

    assert matrix.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert (matrix.dtype.name, matrix.flags.c_contiguous) == ("float64", True)


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", InvalidBodyError, "not an .npy file"),
        (b"[[1, 2]]", InvalidBodyError, "not an .npy file"),
        (saved([[1, 2]])[:-1], InvalidBodyError, "15 bytes of data for an array of float64"),
        (saved([[1, 2]]) + b"0", InvalidBodyError, "17 bytes of data"),
        (saved([[1, 2]])[:40], InvalidBodyError, "not an .npy file"),
        (saved([[1, 2]]).replace(b"(1, 2)", b"(2, 2)"), InvalidBodyError, r"16 bytes of data.*\(2, 2\)"),
        (saved([[1, 2]]).replace(b"(1, 2)", b"(-1,2)"), InvalidBodyError, "header is damaged"),
        (saved([[1, 2]]).replace(b"(1, 2)", b"(" + b"9" * 13 + b", 2)"), InvalidBodyError, "not an .npy file"),
        (saved([[1, 2]]).replace(b"'<f8'", b"'<f9'"), InvalidBodyError, "not an .npy file"),
        (saved([[1, 2]]).replace(b"\x01\x00v\x00", b"\x02\x00v\x00"), InvalidBodyError, "its header has"),
        (saved([[1, 2]]).replace(b"\x01\x00v\x00", b"\x09\x00v\x00"), InvalidBodyError, "known version"),
        (saved([(1, 2.0)], "i4,f8"), InvalidBodyError, "header is damaged"),
        (saved([[1j, 2]], "c16"), InvalidBodyError, "array of complex128"),
        (saved(np.empty((0, 2))), InvalidBodyError, "0 bytes of data"),
        (saved([1, 2]), InvalidBodyError, r"of shape \(2,\)"),
        (saved([["x", "y"]], "U1"), InvalidBodyError, "array of <U1"),
        (saved([[1, 2]], "O"), InvalidBodyError, "array of object"),
        (saved([[1, 2]] * 4), TooLargeError, "4 rows"),
        (saved([[1, 2, 3]]), FeaturesError, "Row 0 has 3 values"),
        (saved([[1, 2], [3, np.nan]]), FeaturesError, "Row 1, column 1 is NaN"),
        (saved([[1, -np.inf]]), FeaturesError, "Row 0, column 1 is -Infinity"),
        (saved([[1, 1e39]]), FeaturesError, r"Row 0, column 1 is 1e\+39"),
    ],
)
def test_the_error_for_an_invalid_array_names_the_reason(body: bytes, error: type[MantaError], message: str) -> None:
    with pytest.raises(error, match=message):
        read(body)


def test_an_array_is_checked_against_the_signature() -> None:
    with pytest.raises(FeaturesError, match=r"Row 0, column 1 is 0\.5"):
        read(saved([[1, 0.5]]), RowSchema(names=("a", "b"), kinds=(ValueKind.NUMBER, ValueKind.WHOLE_NUMBER)))
    with pytest.raises(FeaturesError, match="columns of text: 'b'"):
        read(saved([[1, 2]]), RowSchema(names=("a", "b"), kinds=(ValueKind.NUMBER, ValueKind.TEXT)))


@given(st.data())
def test_a_damaged_array_gives_an_error_or_finite_rows(data: st.DataObject) -> None:
    body = bytearray(saved([[1, 2], [3, 4]]))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))

    try:
        matrix = read(bytes(body))
    except MantaError:
        return
    assert matrix.shape[1] == 2
    assert np.isfinite(matrix).all()
