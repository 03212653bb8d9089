"""Adds the labelled rows of the prediction log to a data set: `--add-log 30d`.

`app.training.data.labelled_log` reads the rows of the log.
"""

import logging
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from app.errors import DataError
from app.settings import Settings
from app.training import run_tags
from app.training.data import labelled_log
from app.training.data.columns import COLUMNS_SHOWN, TEXT
from app.training.data.dataset import Dataset, Rows
from app.training.data.log_location import LOG_PREFIX
from app.training.data.targets import normalize_target, task_of

NEXT_STEP: Final = "Choose a period in which the served versions took these columns and labels, or drop --add-log."

log = logging.getLogger("manta.train")


def add_log(dataset: Dataset, period: str, settings: Settings) -> Dataset:
    """Append the labelled rows of the registered model to a data set. Without labelled rows, return the data set.

    To a data set with times, only rows that are later than all its rows are appended: the data set may hold the earlier
    ones. The time of a row of the log is when the row was predicted, unless the model takes the column of the times.

    Args:
        dataset: Rows without groups and weights, which the log does not have.
        period: How far back the rows go, such as `30d`.
        settings: The registered model, and where its prediction log is.

    Raises:
        LogOffError: There is no prediction log.
        ParameterError: The period cannot be used.
        DataError: The log has other columns than the data set, or values of other types, or the times are numbers.
        PlatformError: The log cannot be read.
    """
    location, source = LOG_PREFIX + period, dataset.source
    rows, later = dataset.rows, ""
    time = None if rows.times is None else str(rows.times.name)
    added, since = labelled_log.find_rows(location, settings, target=str(rows.target.name), time=time)
    if added is not None and rows.times is not None:
        added = _later_than(rows.times, added, source)
        later = f" that is later than {rows.times.max()}, the newest time of the data"
    if added is None:
        log.warning(
            "the prediction log of %s has no row with a label in the last %s%s, so the data is %s alone",
            settings.model_name,
            period,
            later,
            source,
        )
        return dataset
    log.info("%d labelled rows of the prediction log are added to %s", len(added), source)
    rows = Rows(
        features=_append_features(rows.features, added.features, source),
        target=_append_target(rows.target, added.target, source),
        times=None if rows.times is None else pd.concat([rows.times, added.times], ignore_index=True),
    )
    tags = {
        run_tags.DATA_ADDED_LOG: f"{len(added)} rows of {location}",
        run_tags.DATA_LOG_SINCE: since.isoformat(timespec="seconds"),
    }
    return replace(dataset, rows=rows, tags=dataset.tags | tags)


def _later_than(times: pd.Series, added: Rows, source: str) -> Rows | None:
    """Return the rows that are later than all times; None if there are none.

    Raises:
        DataError: Only one of both sides has dates.
    """
    kinds = ["dates" if pd.api.types.is_datetime64_dtype(column) else "numbers" for column in (times, added.times)]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"The rows of the prediction log cannot be added to {source}. The times in column {times.name!r} are "
            f"{kinds[0]} in the data, and {kinds[1]} in the log.",
            next_step="Give a column with dates as --time, or drop --add-log.",
        )
    is_later = (added.times > times.max()).to_numpy()
    if is_later.all():
        return added
    log.info("%d labelled rows of the prediction log are no later than the data, and left out", (~is_later).sum())
    return added.take(is_later) if is_later.any() else None


def _append_features(features: pd.DataFrame, added: pd.DataFrame, source: str) -> pd.DataFrame:
    """Join the features by their names.

    Raises:
        DataError: One side lacks a column, or a column has two types.
    """
    faults = [f"{name} (not in the log)" for name in features if name not in added]
    faults += [f"{name} (only in the log)" for name in added if name not in features]
    columns: dict[str, pd.Series] = {}
    for name in added.columns.intersection(features.columns):
        column, added_column = _common_type(features[name], added[name])
        if column.dtype == added_column.dtype:
            columns[name] = pd.concat([column, added_column], ignore_index=True)
        else:
            faults.append(f"{name} ({column.dtype} in the data, {added_column.dtype} in the log)")
    if faults:
        listed = ", ".join(faults[:COLUMNS_SHOWN]) + (", ..." if len(faults) > COLUMNS_SHOWN else "")
        raise DataError(
            f"The rows of the prediction log cannot be added to {source}. These columns differ: {listed}.",
            next_step=NEXT_STEP,
        )
    return pd.DataFrame({name: columns[name] for name in features})


def _common_type(column: pd.Series, added: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Convert a column of the log to the type in the data, where both hold the same values.

    The log holds booleans as the numbers 1 and 0, and categories as text.
    """
    if pd.api.types.is_bool_dtype(column) and added.dropna().isin([0, 1]).all():
        return (column.astype(np.float64), added) if added.isna().any() else (column, added.astype(bool))
    if added.isna().all():
        return column, pd.Series([None] * len(added), dtype=column.dtype)
    if isinstance(column.dtype, pd.CategoricalDtype) and added.dtype == TEXT:
        unseen = sorted(set(added.dropna()).difference(column.cat.categories))
        if not (unseen and column.cat.ordered):
            column = column.cat.add_categories(unseen)
            return column, added.astype(column.dtype)
    return column, added


def _append_target(target: pd.Series, added: pd.Series, source: str) -> pd.Series:
    """Join the labels. If the labels of the data are texts, all labels become texts.

    Raises:
        DataError: The log has labels of another type.
    """
    is_text, is_bool = target.dtype == object, pd.api.types.is_bool_dtype(target)
    has_fractions = pd.api.types.is_float_dtype(added) and task_of(target) == "classification"
    if not is_text and (added.dtype == object or is_bool != pd.api.types.is_bool_dtype(added) or has_fractions):
        raise DataError(
            f"The rows of the prediction log cannot be added to {source}. The column {target.name!r} of the data holds "
            f"labels such as {target.tolist()[0]!r}, and the log has labels such as {added.tolist()[0]!r}.",
            next_step=NEXT_STEP,
        )
    return normalize_target(pd.concat([target, added], ignore_index=True), source=source)
