"""The links of XGBoost and LightGBM, which call `exp` of the C library; numpy's own differs in the last bit."""

import math
from typing import Final

import numpy as np

from app.models.trees.compiled import compiled

MAX_EXPONENT: Final = np.float32(88.7)
"""XGBoost's limit, so that `exp` of a float32 stays finite."""

ONE: Final = np.float32(1)
TINY: Final = np.float32(1e-16)


@compiled
def exponential(sums: np.ndarray) -> np.ndarray:
    """Return `exp` of each sum in the format of the sums, shape (rows,)."""
    result = np.empty_like(sums)
    for row in range(len(sums)):
        result[row] = math.exp(sums[row])
    return result


@compiled
def narrow_logistic(sums: np.ndarray) -> np.ndarray:
    """Return XGBoost's probabilities of two classes, shape (rows, 2), float32."""
    result = np.empty((len(sums), 2), np.float32)
    for row in range(len(sums)):
        result[row, 1] = ONE / (np.float32(math.exp(min(-sums[row], MAX_EXPONENT))) + ONE + TINY)
        result[row, 0] = ONE - result[row, 1]
    return result


@compiled
def wide_logistic(sums: np.ndarray) -> np.ndarray:
    """Return LightGBM's probabilities of two classes, shape (rows, 2), float64."""
    result = np.empty((len(sums), 2), np.float64)
    for row in range(len(sums)):
        result[row, 1] = 1 / (1 + math.exp(-sums[row]))
        result[row, 0] = 1 - result[row, 1]
    return result


@compiled
def ordered_softmax(sums: np.ndarray) -> np.ndarray:
    """Return the probabilities of several classes, shape (rows, classes), in the format of the sums.

    Both libraries add the powers in float64, in the order of the classes.
    """
    result, rounded = np.empty_like(sums), np.empty(1, sums.dtype)
    for row in range(sums.shape[0]):
        largest = sums[row].max()
        total = 0.0
        for k in range(sums.shape[1]):
            result[row, k] = math.exp(sums[row, k] - largest)
            total += result[row, k]
        rounded[0] = total
        for k in range(sums.shape[1]):
            result[row, k] /= rounded[0]
    return result
