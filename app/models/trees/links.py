"""The last step of a prediction: sums of leaves become predictions and probabilities.

Each function calls the functions that the library calls, on arrays of the same layout, because other functions, and
sums in another order, may differ in the last bit.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from app.models.trees.compiled_links import (
    BY_PROBABILITY,
    FIRST,
    SECOND,
    Classified,
    exponential,
    narrow_logistic,
    ordered_softmax,
    wide_logistic,
)
from app.models.trees.flat_model import Link


def _from_votes(sums: np.ndarray, largest: np.ndarray) -> Classified:
    return largest, sums


def _from_logit(sums: np.ndarray, _: np.ndarray) -> Classified:
    """`HistGradientBoostingClassifier` with two classes."""
    return wide_logistic(sums[:, 0], FIRST)  # type: ignore[no-any-return] # numba gives it no type


def _from_stages(sums: np.ndarray, _: np.ndarray) -> Classified:
    """`GradientBoostingClassifier` with two classes."""
    return wide_logistic(sums[:, 0], SECOND)  # type: ignore[no-any-return] # numba gives it no type


def _from_half_logit(sums: np.ndarray, _: np.ndarray) -> Classified:
    """`GradientBoostingClassifier` with the exponential loss."""
    return wide_logistic(2 * sums[:, 0], SECOND)  # type: ignore[no-any-return] # numba gives it no type


def _from_wide_logistic(sums: np.ndarray, _: np.ndarray) -> Classified:
    """LightGBM with two classes."""
    return wide_logistic(sums[:, 0], BY_PROBABILITY)  # type: ignore[no-any-return] # numba gives it no type


def _from_narrow_logistic(sums: np.ndarray, _: np.ndarray) -> Classified:
    """XGBoost with two classes."""
    return narrow_logistic(sums[:, 0])  # type: ignore[no-any-return] # numba gives it no type


def _from_softmax(sums: np.ndarray, largest: np.ndarray) -> Classified:
    powers = np.exp(sums - np.max(sums, axis=1).reshape(-1, 1))
    return largest, powers / np.sum(powers, axis=1).reshape(-1, 1)


def _from_softmax_by_column(sums: np.ndarray, largest: np.ndarray) -> Classified:
    """`HistGradientBoostingClassifier` keeps each class in a column of its own, so the sum has another order."""
    return _from_softmax(np.asfortranarray(sums), largest)


def _from_ordered_softmax(sums: np.ndarray, _: np.ndarray) -> Classified:
    probabilities = ordered_softmax(sums)
    return np.argmax(probabilities, axis=1), probabilities


CLASSIFIERS: Final[dict[Link, Callable[[np.ndarray, np.ndarray], Classified]]] = {
    "votes": _from_votes,
    "logit": _from_logit,
    "stages": _from_stages,
    "half_logit": _from_half_logit,
    "softmax": _from_softmax,
    "softmax_by_column": _from_softmax_by_column,
    "narrow_logistic": _from_narrow_logistic,
    "wide_logistic": _from_wide_logistic,
    "ordered_softmax": _from_ordered_softmax,
}
"""Links of classifiers."""

REGRESSORS: Final[dict[Link, Callable[[np.ndarray], np.ndarray]]] = {
    "identity": lambda sums: sums,
    "log": np.exp,
    "exponential": exponential,
}
"""Links of regressors, from sums of shape (rows,)."""

EXACT_LINKS: Final[frozenset[Link]] = frozenset({"identity", "votes"})
"""Links that give the same bits on every processor. The others call `exp`."""

TWO_CLASSES: Final[frozenset[Link]] = frozenset({"logit", "stages", "half_logit", "narrow_logistic", "wide_logistic"})
"""Links of classifiers that make two probabilities of one sum. The others take one sum per class."""
