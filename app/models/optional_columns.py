"""Finds the columns in which a model takes missing values, by trying it.

No attribute of an estimator says this for each column: a pipeline may fill the gaps of some columns only, and encoders
differ in what they do with an unknown category.
"""

import warnings
from collections.abc import Callable
from typing import Final

import numpy as np

from app.models.answers import Answers
from app.models.signature import TEXT_TYPES, Columns

MAX_TRIALS: Final = 500
"""Predictions of one row that are tried. The columns that are not decided then must have a value."""


def find_optional(columns: Columns, row: np.ndarray, predict: Callable[[np.ndarray], Answers]) -> Columns:
    """Return the columns with the decision which of them are optional.

    Args:
        columns: The model's columns.
        row: Shape (1, columns): a row that the model predicts.
        predict: Predicts rows. Any exception, and any number that is not finite, means that the model does not take
            the row.
    """
    # Columns of one type often pass through the same steps, so they are tried together, and halved while that fails.
    texts = [index for index, column in enumerate(columns) if column.type in TEXT_TYPES]
    numbers = [index for index, column in enumerate(columns) if column.type not in TEXT_TYPES]
    waiting, found = [group for group in (texts, numbers) if group], list[str]()
    for _ in range(MAX_TRIALS):
        if not waiting:
            break
        group = waiting.pop()
        changed = row.copy()
        changed[:, group] = None if changed.dtype == object else np.nan
        if _predicts(predict, changed):
            found.extend(columns.names[index] for index in group)
        elif len(group) > 1:
            middle = len(group) // 2
            waiting += [group[middle:], group[:middle]]
    return columns.with_optional(found)


def _predicts(predict: Callable[[np.ndarray], Answers], row: np.ndarray) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers = predict(row)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - an estimator refuses a missing value with an exception of any type
        return False
    return answers.are_finite
