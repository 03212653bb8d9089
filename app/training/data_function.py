"""Training data that a function of a user's file returns: `--data data.py:load`."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd

from app.errors import DataError
from app.training import run_tags
from app.training.data import sources
from app.training.data.dataset import Dataset
from app.training.models import source
from app.training.models.code_errors import ModelCodeError, user_code
from app.training.models.location import split_location

DEFAULT_FUNCTION: Final = "load"
"""Function that is called if the location names none."""


def is_function(location: str) -> bool:
    """Whether the value of `--data` names a Python file."""
    return split_location(location)[0].endswith(".py")


def read_function(
    location: str, *, target: str, group: str | None = None, time: str | None = None, weight: str | None = None
) -> Dataset:
    """Call a function of a user's file, and make a data set of the table that it returns.

    Args:
        location: `FILE.py:FUNCTION`, or `FILE.py` for the function `load`. The function takes no arguments.
        target: Column to predict; every column without a role is a feature.
        group: See `sources.from_frame`.
        time: See `sources.from_frame`.
        weight: See `sources.from_frame`.

    Raises:
        ModelCodeError: The file cannot be imported, has no such function, or the function raises an exception.
        DataError: The function does not return a DataFrame, or its rows are not usable.
    """
    file, name = split_location(location)
    path, name = Path(file), name or DEFAULT_FUNCTION
    label = f"{path.name}:{name}"
    function = getattr(source.load_module(path), name, None)
    if not callable(function):
        raise ModelCodeError(
            f"{path.name} has no function {name}.", next_step=f"Define it, or name another: --data {file}:FUNCTION"
        )
    with user_code(path.resolve().parent, doing=f"{label} failed"):
        frame = function()
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"{label} returned a value of type {type(frame).__name__}.",
            allowed="a pandas DataFrame with one example per row",
            next_step="Return a DataFrame, for example: return pandas.read_sql(query, connection)",
        )
    dataset = sources.from_frame(
        frame, target=target, name=label, source=location, group=group, time=time, weight=weight
    )
    return replace(dataset, tags=dataset.tags | {run_tags.DATA_FILE_HASH: source.file_hash(path)})
