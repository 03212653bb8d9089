"""Hashes of rows by their content, which do not depend on the position of a row or on the type of a number's column.

`app.training.data.split` decides by them which rows are held out. `app.training.data.dataset` makes the fingerprint of
the data from them.
"""

import numpy as np
import pandas as pd


def hash_rows(frame: pd.DataFrame) -> np.ndarray:
    """Hash each row of a table of normalized columns; shape (rows,), uint64."""
    canonical = pd.DataFrame({name: _canonical(column) for name, column in frame.items()}, index=frame.index)
    hashes: np.ndarray = pd.util.hash_pandas_object(canonical, index=False).to_numpy()
    return hashes


def hash_values(column: pd.Series) -> np.ndarray:
    """Hash each value of a column; shape (rows,), uint64."""
    hashes: np.ndarray = pd.util.hash_pandas_object(_canonical(column), index=False).to_numpy()
    return hashes


def mix(hashes: np.ndarray, seed: int) -> np.ndarray:
    """Return other hashes for each seed; shape (rows,), uint64, evenly distributed."""
    seed_hash = pd.util.hash_array(np.array([seed], dtype=np.uint64))
    mixed: np.ndarray = pd.util.hash_array(hashes + seed_hash)
    return mixed


def _canonical(column: pd.Series) -> pd.Series:
    """Return a column whose hashes depend on its values alone."""
    if pd.api.types.is_datetime64_dtype(column):
        return column.astype("datetime64[us]")
    if pd.api.types.is_numeric_dtype(column):
        # Adding 0.0 turns -0.0 into 0.0.
        return column.astype(np.float64) + 0.0
    return column
