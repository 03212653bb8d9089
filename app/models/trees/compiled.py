"""The decorator of compiled functions."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - numba gives a compiled function no type
    """Compile a function that runs without the GIL, and cache it on disk for other processes if possible."""
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no cache folder is writable
        return numba.njit(nogil=True, error_model="numpy")(function)
