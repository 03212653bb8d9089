"""The last step of a prediction: sums of leaves become predictions and probabilities.

Each function calls the very functions of numpy and scipy that the library calls, on arrays of the same layout, because
other functions, and sums in another order, may differ in the last bit.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import expit

from app.models.trees.compiled_links import exponential, narrow_logistic, ordered_softmax, wide_logistic
from app.models.trees.flat_model import Link

Classified = tuple[np.ndarray, np.ndarray]
"""The index of each row's class, shape (rows,), and the probabilities, shape (rows, classes)."""


def _from_votes(sums: np.ndarray, largest: np.ndarray) -> Classified:
    return largest, sums


def _from_logit(sums: np.ndarray, _: np.ndarray) -> Classified:
    """`HistGradientBoostingClassifier` with two classes: zero is the first class."""
    sums = sums.ravel()
    return (sums > 0).astype(np.intp), _two_columns(expit(sums))


def _from_stages(sums: np.ndarray, _: np.ndarray) -> Classified:
    """`GradientBoostingClassifier` with two classes: zero is the second class."""
    sums = sums.ravel()
    return (sums >= 0).astype(np.intp), _two_columns(expit(sums))


def _from_half_logit(sums: np.ndarray, _: np.ndarray) -> Classified:
    """`GradientBoostingClassifier` with the exponential loss."""
    sums = sums.ravel()
    return (sums >= 0).astype(np.intp), _two_columns(expit(2 * sums))


def _from_softmax(sums: np.ndarray, largest: np.ndarray) -> Classified:
    powers = np.exp(sums - np.max(sums, axis=1).reshape(-1, 1))
    return largest, powers / np.sum(powers, axis=1).reshape(-1, 1)


def _from_softmax_by_column(sums: np.ndarray, largest: np.ndarray) -> Classified:
    """`HistGradientBoostingClassifier` keeps each class in a column of its own, so the sum has another order."""
    return _from_softmax(np.asfortranarray(sums), largest)


def _from_probability(logistic: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray, np.ndarray], Classified]:
    """Build the link of a library whose predicted class is the one with the larger probability."""

    def answer(sums: np.ndarray, _: np.ndarray) -> Classified:
        probabilities = logistic(sums[:, 0])
        return (probabilities[:, 1] > probabilities[:, 0]).astype(np.intp), probabilities

    return answer


def _from_ordered_softmax(sums: np.ndarray, _: np.ndarray) -> Classified:
    probabilities = ordered_softmax(sums)
    return np.argmax(probabilities, axis=1), probabilities


def _two_columns(second: np.ndarray) -> np.ndarray:
    probabilities = np.empty((len(second), 2), dtype=second.dtype)
    probabilities[:, 1] = second
    probabilities[:, 0] = 1 - second
    return probabilities


CLASSIFIERS: Final[dict[Link, Callable[[np.ndarray, np.ndarray], Classified]]] = {
    "votes": _from_votes,
    "logit": _from_logit,
    "stages": _from_stages,
    "half_logit": _from_half_logit,
    "softmax": _from_softmax,
    "softmax_by_column": _from_softmax_by_column,
    "narrow_logistic": _from_probability(narrow_logistic),
    "wide_logistic": _from_probability(wide_logistic),
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
