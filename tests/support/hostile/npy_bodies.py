"""Hostile bodies in numpy's npy format: headers that lie about the data, and data that is no array of numbers."""

import io
import pickle
import struct
from typing import Final

import numpy as np

from tests.support.hostile.body import NPY, VALID_OR_INVALID, Body, Content, fixed

MAGIC: Final = b"\x93NUMPY"
ROW_BYTES: Final = 24
"""Size of a row of three float64 numbers."""


def header(dictionary: str, version: bytes = b"\x01\x00") -> bytes:
    """The beginning of an npy file, up to its data."""
    text = dictionary.encode() + b"\n"
    length = struct.pack("<H", len(text)) if version == b"\x01\x00" else struct.pack("<I", len(text))
    return MAGIC + version + length + text


def _claims(shape: str, dtype: str = "'<f8'", *, is_by_column: bool = False) -> Content:
    """A body of zeros under a header with a fixed claim."""

    def build(size: int) -> bytes:
        beginning = header(f"{{'descr': {dtype}, 'fortran_order': {is_by_column}, 'shape': {shape}, }}")
        return beginning + bytes(max(0, size - len(beginning)))

    return build


def _array(fill: float, *, is_by_column: bool = False, dtype: str = "<f8") -> Content:
    """A valid file with as many rows as fit, filled with one value."""

    def build(size: int) -> bytes:
        rows = min(10_000, max(1, (size - 200) // ROW_BYTES))
        array = np.full((rows, 3), fill, dtype=dtype, order="F" if is_by_column else "C")
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        return file.getvalue()

    return build


def _nested(opening: str) -> Content:
    return lambda size: header("{'descr': " + opening * (min(size, 60_000) // len(opening)))


class _RunsCode:
    """A pickle that creates a file if it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("/tmp/manta-hostile-pickle-was-loaded", "w")  # noqa: S108 - must never exist


def _pickled_objects(_: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([[_RunsCode()] * 3], dtype=object), allow_pickle=True)
    return file.getvalue()


def _with_magic(magic: bytes) -> Content:
    return lambda size: magic + bytes(size - len(magic))


KINDS: Final[dict[str, Content]] = {
    "shape larger than the data": _claims("(10000, 3)", "'<f8'"),
    "shape smaller than the data": _claims("(1, 3)"),
    "shape of negative numbers": _claims("(-1, 3)"),
    "shape of two negative numbers": _claims("(-10, -3)"),
    "shape of 2**62 rows": _claims("(4611686018427387904, 3)"),
    "shape whose size overflows": _claims("(6148914691236517206, 3)"),
    "shape of a number with 4,000 digits": _claims("(" + "9" * 4000 + ", 3)"),
    "shape of true": _claims("(True, 3)"),
    "shape without dimensions": _claims("()"),
    "shape of one dimension": _claims("(3,)"),
    "shape of 1,000 dimensions": _claims("(" + "1," * 1000 + ")"),
    "no rows": _claims("(0, 3)"),
    "objects": _claims("(10000, 3)", "'|O'"),
    "pickled objects": _pickled_objects,
    "a pickle": lambda _: pickle.dumps([_RunsCode()]),
    "complex numbers": _claims("(10000, 3)", "'<c16'"),
    "dates": _claims("(10000, 3)", "'<M8[ns]'"),
    "text of a million characters": _claims("(1, 3)", "'<U1000000'"),
    "values without size": _claims("(10000, 3)", "'|V0'"),
    "structured dtype": _claims("(1000, 3)", "[('a', '<f8'), ('b', '<f8')]"),
    "structured dtype of 2,000 fields": _claims("(10, 3)", str([(f"f{i}", "<f8") for i in range(400)])),
    "nested arrays": _claims("(10, 3)", "('<f8', (1000, 1000, 1000))"),
    "unknown dtype": _claims("(10, 3)", "'<q99'"),
    "dtype that is code": _claims("(10, 3)", "__import__('os').getpid()"),
    "by column with wrong size": _claims("(10000, 3)", is_by_column=True),
    "infinite numbers": _array(np.inf),
    "wrong magic": _with_magic(b"\x93NUMPX\x01\x00"),
    "unknown format version": _with_magic(MAGIC + b"\x09\x09" + b"\xff\xff\xff\xff"),
    "header of 4 GB": lambda size: MAGIC + b"\x02\x00\xff\xff\xff\xff" + b" " * (size - 12),
    "header of the whole body": lambda size: MAGIC + b"\x02\x00" + struct.pack("<I", size - 12) + b" " * (size - 12),
    "header of open brackets": _nested("("),
    "header of minus signs": _nested("-"),
    "header of a long sum": _nested("1+"),
    "header that is no literal": fixed(header("open('/etc/passwd')")),
    "header of zero bytes": fixed(MAGIC + b"\x01\x00\x10\x00" + bytes(16)),
    "only the magic": fixed(MAGIC),
    "empty": fixed(b""),
    "JSON": fixed(b'{"features":[[1,2,3]]}'),
    "truncated": lambda size: _array(0)(size)[:-1],
    "trailing data": lambda size: _array(0)(size) + b"x",
}
"""The content of each kind of invalid file."""

LARGEST: Final = Body(name="npy: largest", content=_array(0), content_type=NPY, statuses=frozenset({200}))
"""A valid body with as many rows as the service accepts."""

BODIES: Final = (
    *(Body(name=f"npy: {name}", content=content, content_type=NPY) for name, content in KINDS.items()),
    Body(name="npy: NaN", content=_array(np.nan), content_type=NPY, statuses=VALID_OR_INVALID),
    Body(name="npy: by column", content=_array(1, is_by_column=True), content_type=NPY, statuses=VALID_OR_INVALID),
    Body(name="npy: 80-bit floats", content=_array(1, dtype="<f16"), content_type=NPY, statuses=VALID_OR_INVALID),
    Body(name="npy: a file sent as JSON", content=_array(0)),
)
"""All kinds of npy bodies."""
