"""Feature columns that give the target away: copies of the target, and one-to-one recodings of it."""

from typing import Final

import numpy as np
import pandas as pd

from app.training.data.dataset import Rows, Task

MIN_ROWS: Final = 10
"""Fewer rows can agree with the target by chance."""

SAMPLE_ROWS: Final = 1000
"""Rows that a column is compared on first. Nearly every column differs there, so few columns are compared in whole."""


def find_leaks(rows: Rows, task: Task) -> list[str]:
    """Return the names of the columns that are the target under another name or in another code.

    A column of labels is a leak if each of its values stands for one class, and each class for one value. A column of
    numbers is a leak for regression if it rises or falls strictly with the target. Missing values are ignored.

    Args:
        rows: All rows of a data set.
        task: Whether the target holds classes.
    """
    compare = _is_recoding if task == "classification" else _is_monotone
    target = rows.target.to_numpy()
    names = []
    for name, column in rows.features.items():
        if task == "regression" and not pd.api.types.is_numeric_dtype(column):
            continue
        known = column.notna().to_numpy()
        values, known_target = column[known], target[known]
        if len(values) < max(MIN_ROWS, len(column) // 2):
            continue
        sample = slice(SAMPLE_ROWS)
        if compare(values.iloc[sample], known_target[sample]) and compare(values, known_target):
            names.append(str(name))
    return names


def _is_recoding(values: pd.Series, target: np.ndarray) -> bool:
    """Whether values and classes correspond one to one: then both get the same numbers in the order of appearance."""
    codes, target_codes = pd.factorize(values)[0], pd.factorize(target)[0]
    return bool((codes == target_codes).all() and codes.max() > 0)


def _is_monotone(values: pd.Series, target: np.ndarray) -> bool:
    """Whether the ranks of the values are those of the target, or the reverse."""
    ranks = pd.factorize(values.to_numpy(), sort=True)[0]
    target_ranks = pd.factorize(target, sort=True)[0]
    is_rising = (ranks == target_ranks).all()
    is_falling = (ranks.max() - ranks == target_ranks).all()
    return bool((is_rising or is_falling) and ranks.max() + 1 >= MIN_ROWS)
