"""Reads .npy files that may be damaged: the size is compared with the file's before anything is allocated."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

MAX_HEADER_BYTES = 1000


def read_array(path: Path, dtypes: Sequence[np.dtype], dimensions: int, *, is_mapped: bool = False) -> np.ndarray:
    """Read an array.

    Args:
        path: A .npy file.
        dtypes: The data types that are accepted; never objects.
        dimensions: The number of dimensions that the array must have.
        is_mapped: Whether the array is mapped from the file instead of being read into memory. Its memory then really
            returns to the system with the array, and replicas on one node share it. Nobody may change the file.

    Raises:
        ValueError: The file is damaged or holds another kind of array.
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{path.name} has another version of the npy format")
        shape, is_fortran, stored_dtype = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER_BYTES)
        if stored_dtype not in dtypes or len(shape) != dimensions or is_fortran:
            raise ValueError(f"{path.name} holds {stored_dtype} of shape {shape}")
        if any(type(size) is not int or size < 0 for size in shape):
            raise ValueError(f"{path.name} has the shape {shape}")
        size_bytes = math.prod(shape) * stored_dtype.itemsize
        if file.tell() + size_bytes != path.stat().st_size:
            raise ValueError(f"{path.name} is too short or too long for its shape {shape}")
        if is_mapped and size_bytes:
            # Compiled code takes no read-only array, so that the mapping is private. Nothing is ever written to it.
            return np.memmap(path, stored_dtype, mode="c", offset=file.tell(), shape=shape).view(np.ndarray)
        return np.fromfile(file, dtype=stored_dtype, count=math.prod(shape)).reshape(shape)
