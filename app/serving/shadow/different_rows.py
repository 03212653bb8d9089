"""The rows for which the answers of two versions differ most."""

import math
from typing import Final

import numpy as np

from app.models.answers import Answers
from app.serving.schemas import Answer, Label
from app.serving.shadow.messages import Cell, DifferentRow

MOST_DIFFERENT: Final = 20
"""Number of rows that are kept because they differ most."""

MAX_COLUMNS: Final = 200
MAX_CHARACTERS: Final = 200
"""Columns of a row that is kept, and characters of its texts."""


def choose(
    rows_before: list[DifferentRow], rows: np.ndarray, differences: np.ndarray, champion: Answers, shadow: Answers
) -> list[DifferentRow]:
    """Return the most different rows among those before and the new ones, each row once."""
    floor = rows_before[-1].difference if len(rows_before) == MOST_DIFFERENT else 0.0
    if differences.max() <= floor:
        return rows_before
    order = np.argsort(-differences)[:MOST_DIFFERENT]
    new_rows = [
        DifferentRow(
            difference=float(differences[index]),
            row=[_cell(value) for value in rows[index, :MAX_COLUMNS].tolist()],
            champion=_prediction(champion.predictions[index]),
            shadow=_prediction(shadow.predictions[index]),
        )
        for index in order
        if differences[index] > floor
    ]
    return distinct(sorted(rows_before + new_rows, key=lambda row: -row.difference))


def distinct(rows: list[DifferentRow]) -> list[DifferentRow]:
    """Return the first `MOST_DIFFERENT` rows, and of rows with the same values only the first."""
    distinct: list[DifferentRow] = []
    for row in rows:
        if len(distinct) < MOST_DIFFERENT and all(other.row != row.row for other in distinct):
            distinct.append(row)
    return distinct


def _prediction(value: np.generic | np.ndarray) -> Answer:
    """Return the prediction for a row as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return [_label(part) for part in value.tolist()]
    return _label(value.item() if isinstance(value, np.generic) else value)


def _label(value: Label) -> Label:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _cell(value: Cell) -> Cell:
    """Return a value of a row as JSON can hold it."""
    if isinstance(value, str):
        return value[:MAX_CHARACTERS]
    return None if isinstance(value, float) and not math.isfinite(value) else value
