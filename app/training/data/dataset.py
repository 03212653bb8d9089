"""The rows that a model is trained and judged on: features, a target, and what the split and the scores need beside.

`app.training.data.sources` reads the rows. `app.training.data.split` decides which rows are held out.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self

import numpy as np
import pandas as pd

from app.training.data.row_hashes import hash_values

Task = Literal["classification", "regression"]
"""What a model predicts: one of some classes, or a number."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a table. Every field has the same length."""

    features: pd.DataFrame
    """Shape (rows, columns), column names unique strings."""
    target: pd.Series
    """Shape (rows,), without missing values: class labels or numbers."""
    groups: pd.Series | None = None
    """Shape (rows,): rows of the same group are never divided between training and test rows or between folds."""
    times: pd.Series | None = None
    """Shape (rows,): the test rows are later than the training rows."""
    weights: pd.Series | None = None
    """Shape (rows,), positive: how much a row counts in the fit and in the metrics."""

    def __len__(self) -> int:
        return len(self.target)

    def take(self, positions: np.ndarray) -> Self:
        """Return the rows at some positions.

        Args:
            positions: Positions of shape (rows,), or a mask with one boolean per row.
        """
        series = (self.groups, self.times, self.weights)
        groups, times, weights = (None if column is None else column.iloc[positions] for column in series)
        return type(self)(
            features=self.features.iloc[positions],
            target=self.target.iloc[positions],
            groups=groups,
            times=times,
            weights=weights,
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Rows that a model can be fitted on, and where they come from."""

    name: str
    source: str
    """File, URL or library function that the rows come from."""
    rows: Rows
    tags: dict[str, str] = field(default_factory=dict)
    """Additional tags of the run, such as the revision of a file from DVC."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over names, types and values of all columns, in the order of rows and columns."""
        features, target = self.rows.features, self.rows.target
        digest = hashlib.sha256()
        header = [*features.columns, str(target.name), str(target.dtype)]
        digest.update("\x1f".join(header).encode())
        if (features.dtypes == np.float64).all():
            digest.update(np.ascontiguousarray(features.to_numpy()).tobytes())
        else:
            for name in features:
                column = features[name]
                _add_column(digest, _type_label(column), column)
        digest.update("\x1f".join(map(str, target)).encode())
        for role in ("groups", "times", "weights"):
            column = getattr(self.rows, role)
            if column is not None:
                _add_column(digest, f"{role} {column.name}", column)
        return digest.hexdigest()


def _add_column(digest: "hashlib._Hash", label: str, column: pd.Series) -> None:
    digest.update(f"\x1e{label}\x1e".encode())
    digest.update(hash_values(column).tobytes())


def _type_label(column: pd.Series) -> str:
    """Return the type of a column; for categories with their order, because an encoder numbers them in that order."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return str(column.dtype)
    return "\x1f".join(["category", str(column.cat.ordered), *map(str, column.cat.categories)])
