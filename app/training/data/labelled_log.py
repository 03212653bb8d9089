"""The rows that the service predicted, with the labels that came later, as a data set: `--data log:30d`."""

import logging
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
from app.training.data.dataset import Dataset
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
    name, period = settings.model_name, location.removeprefix(LOG_PREFIX)
    since = datetime.now(UTC) - parse_period(period, example="--data log:30d")
    store = open_store(settings)
    if store is None:
        raise LogOffError(
            f"{location} cannot be read, because there is no prediction log.",
            next_step="Switch the log on: key predictionLog of the stack, or MANTA_PREDICTION_LOG.",
        )
    labelled = read_labelled(store, model=name, since=since)
    if not labelled.labels:
        raise DataError(
            f"The prediction log of {name!r} has no row with a label in the last {period}.",
            next_step="Send labels with manta feedback FILE, or name a longer period, such as --data log:90d.",
        )
    if labelled.left_out:
        log.warning("%s: not all versions have the columns %s, which are left out", name, ", ".join(labelled.left_out))
    target = target or DEFAULT_TARGET
    roles = {role for role in (group, time) if role in ROLE_COLUMNS}
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


def _to_frame(labelled: LabelledRows, target: str, roles: set[str]) -> pd.DataFrame:
    """Return the features, the labels, and the columns of the log that have a role.

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
    for name in roles.difference(names):
        frame[name] = labelled.rows[name].to_pandas()
    return frame.assign(**{target: pd.Series(labelled.labels, dtype=object)})
