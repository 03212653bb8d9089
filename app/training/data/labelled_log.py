"""The rows that the service predicted, with the labels that came later, as a data set: `--data log:30d`."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pandas as pd

from app.errors import DataError, LogOffError
from app.records import log_files, tables
from app.records.log_reader import LabelledRows, read_labelled
from app.records.open_store import open_store
from app.records.period import parse_period
from app.settings import Settings
from app.training import run_tags
from app.training.data.columns import ColumnRoles, rows_from_frame
from app.training.data.dataset import Dataset, Rows
from app.training.data.log_location import DEFAULT_TARGET, LOG_PREFIX
from app.training.data.sources import from_frame

ROLE_COLUMNS: Final = (log_files.REQUEST_ID, log_files.TIME)
"""Columns of the log that `--group` and `--time` can name. A feature of the same name has priority."""

log = logging.getLogger("manta.train")


def read_log(
    location: str,
    settings: Settings,
    *,
    target: str | None,
    group: str | None = None,
    time: str | None = None,
    weight: str | None = None,
) -> Dataset:
    """Read the labelled rows of the registered model, whichever of its versions answered them.

    Args:
        location: `log:PERIOD`, such as `log:30d`.
        settings: The registered model, and where its prediction log is.
        target: Name of the column with the labels; None for `DEFAULT_TARGET`.
        group: See `sources.from_frame`; also `request_id`.
        time: See `sources.from_frame`; also `time`, when the row was predicted.
        weight: See `sources.from_frame`.

    Raises:
        LogOffError: There is no prediction log.
        ParameterError: The period cannot be used.
        DataError: No row has a label, or the rows cannot be used.
        PlatformError: The log cannot be read.
    """
    labelled, since = _read(location, settings, example="--data log:30d")
    if not labelled.labels:
        raise DataError(
            f"The prediction log of {settings.model_name!r} has no row with a label in the last "
            f"{location.removeprefix(LOG_PREFIX)}.",
            next_step="Send labels with manta feedback FILE, or name a longer period, such as --data log:90d.",
        )
    target = target or DEFAULT_TARGET
    roles = {role: role for role in (group, time) if role in ROLE_COLUMNS}
    dataset = from_frame(
        _to_frame(labelled, target, roles),
        target=target,
        name=location,
        source=location,
        group=group,
        time=time,
        weight=weight,
    )
    return replace(dataset, tags=dataset.tags | {run_tags.DATA_LOG_SINCE: since.isoformat(timespec="seconds")})


def find_rows(
    location: str, settings: Settings, *, target: str, time: str | None = None
) -> tuple[Rows | None, datetime]:
    """Read the labelled rows of the registered model, and the beginning of the period; None if no row has a label.

    Args:
        location: `log:PERIOD`, such as `log:30d`.
        settings: The registered model, and where its prediction log is.
        target: Name of the column with the labels.
        time: Name of the column with times: that feature, or else when each row was predicted. None: without times.

    Raises:
        LogOffError, ParameterError, DataError, PlatformError: See `read_log`.
    """
    labelled, since = _read(location, settings, example="--add-log 30d")
    if not labelled.labels:
        return None, since
    frame = _to_frame(labelled, target, {} if time is None else {time: log_files.TIME})
    return rows_from_frame(frame, ColumnRoles(target=target, time=time), source=location), since


def _read(location: str, settings: Settings, *, example: str) -> tuple[LabelledRows, datetime]:
    """Return the labelled rows of a period, and its beginning."""
    since = datetime.now(UTC) - parse_period(location.removeprefix(LOG_PREFIX), example=example)
    store = open_store(settings)
    if store is None:
        raise LogOffError(
            f"{location} cannot be read, because there is no prediction log.",
            next_step="Switch the log on: key predictionLog of the stack, or MANTA_PREDICTION_LOG.",
        )
    labelled = read_labelled(store, model=settings.model_name, since=since)
    if labelled.left_out:
        log.warning(
            "%s: not all versions have the columns %s, which are left out",
            settings.model_name,
            ", ".join(labelled.left_out),
        )
    return labelled, since


def _to_frame(labelled: LabelledRows, target: str, roles: Mapping[str, str]) -> pd.DataFrame:
    """Return the features, the labels, and the columns of the log that have a role.

    Args:
        labelled: The rows.
        target: Name of the labels.
        roles: The columns of the log by their names in the result. A feature of the same name has priority.

    Raises:
        DataError: A feature has the name of the target.
    """
    names = tables.feature_names(labelled.rows)
    if target in names:
        raise DataError(
            f"The model has a feature {target!r}, so the labels of the log cannot have this name.",
            next_step="Name the column of the labels: --target NAME.",
        )
    frame = labelled.rows.select([tables.FEATURE_PREFIX + name for name in names]).to_pandas().set_axis(names, axis=1)
    for name in labelled.dates.intersection(names):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    for name in roles.keys() - set(names):
        frame[name] = labelled.rows[roles[name]].to_pandas()
    return frame.assign(**{target: pd.Series(labelled.labels, dtype=object)})
