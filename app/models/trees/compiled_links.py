"""The links that call `exp` of the C library: `expit` of scipy, and those of XGBoost and LightGBM.

numpy's `exp` differs from it in the last bit.
"""

import math
from typing import Final

import numpy as np

from app.models.trees.compiled import compiled

MAX_EXPONENT: Final = np.float32(88.7)
"""XGBoost's limit, so that `exp` of a float32 stays finite."""

ONE: Final = np.float32(1)
TINY: Final = np.float32(1e-16)

FIRST, SECOND, BY_PROBABILITY = range(3)
"""What decides the class of a sum of zero; see `wide_logistic`."""

Classified = tuple[np.ndarray, np.ndarray]
"""The index of each row's class, shape (rows,), and the probabilities, shape (rows, classes)."""


@compiled
def exponential(sums: np.ndarray) -> np.ndarray:
    """Return `exp` of each sum in the format of the sums, shape (rows,)."""
    result = np.empty_like(sums)
    for row in range(len(sums)):
        result[row] = math.exp(sums[row])
    return result


@compiled
def narrow_logistic(sums: np.ndarray) -> Classified:
    """Return XGBoost's classes, and their probabilities as float32, of sums of shape (rows,)."""
    classes, probabilities = np.empty(len(sums), np.int64), np.empty((len(sums), 2), np.float32)
    for row in range(len(sums)):
        second = ONE / (np.float32(math.exp(min(-sums[row], MAX_EXPONENT))) + ONE + TINY)
        probabilities[row, 0], probabilities[row, 1] = ONE - second, second
        classes[row] = second > np.float32(0.5)
    return classes, probabilities


@compiled
def wide_logistic(sums: np.ndarray, rule: int) -> Classified:
    """Return the classes, and their probabilities as float64, of sums of shape (rows,).

    The class of a sum of zero differs: `rule` is `FIRST`, `SECOND`, or `BY_PROBABILITY`, which looks at the rounded
    probabilities.
    """
    classes, probabilities = np.empty(len(sums), np.int64), np.empty((len(sums), 2), np.float64)
    for row in range(len(sums)):
        second = 1 / (1 + math.exp(-sums[row]))
        probabilities[row, 0], probabilities[row, 1] = 1 - second, second
        if rule == BY_PROBABILITY:
            classes[row] = second > 1 - second
        else:
            classes[row] = sums[row] > 0 or (rule == SECOND and sums[row] == 0)
    return classes, probabilities


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
