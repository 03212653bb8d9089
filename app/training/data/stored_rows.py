"""Rows in a Parquet file, from which they are read again as they were."""

from pathlib import Path
from typing import Final

import pandas as pd

from app.training.data.dataset import Rows

ROLES: Final = ("target", "groups", "times", "weights")
"""Columns of the file beside the features. Those are numbered there, so that no name can collide."""


def write_rows(rows: Rows, path: Path) -> None:
    """Write rows into a file. The names of the features are not written."""
    table = rows.features.set_axis([str(index) for index in range(rows.features.shape[1])], axis=1)
    series = {role: getattr(rows, role) for role in ROLES}
    if rows.groups is not None:
        series["groups"] = rows.groups.astype(str)  # a column of Parquet holds values of one type
    table.assign(**{role: values for role, values in series.items() if values is not None}).to_parquet(path)


def read_rows(path: Path, columns: list[str]) -> Rows:
    """Read rows that `write_rows` wrote.

    Args:
        path: The file.
        columns: Names of the features.

    Raises:
        OSError: There is no file, or it is no Parquet file.
        ValueError: The file has another number of columns.
    """
    table = pd.read_parquet(path)
    series = {role: table.pop(role) for role in ROLES if role in table.columns}
    target = series["target"]
    if not pd.api.types.is_numeric_dtype(target):
        series["target"] = target.astype(object)
    return Rows(features=table.set_axis(columns, axis=1), **series)
