"""Reads the prediction log with the labels that came later: the rows of a version or of a model.

A busy replica keeps a smaller share of its requests than an idle one, and a period can hold more rows than are needed.
So of the predictions of a period, a random sample is read, in which every request counts alike. Of the rows with a
label, all are read for training.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from app.errors import DataError, PlatformError
from app.records import log_files, tables
from app.records.log_files import FORMAT, FORMAT_KEY, Label, LogFile
from app.records.log_store import LogStore
from app.records.tables import FEATURE_PREFIX

MAX_ROWS: Final = 20_000
"""Number of predictions that are read at most, roughly."""

MIN_FILES: Final = 50
"""Number of files that a sample is taken from, if there are so many. The file of a busy replica holds more than
`MAX_ROWS` rows, all of the same half minute."""

RARE_ROWS: Final = 0.05
"""Part of the rows of a sample whose share may be smaller than what all others are brought to. Without it, one row from
after a burst, with a share of 1 %, would cost 99 % of the other rows."""

MAX_LABELS: Final = 1_000_000
"""Files of labels are read, the newest first, until they hold this number of labels."""


@dataclass(frozen=True, kw_only=True)
class LogWindow:
    """The predictions of a version in a period."""

    predictions: pa.Table
    """One line for each row: the columns of `app.serving.prediction_log`. Features that a file lacks are left out."""
    labels: list[Label]
    """The label of each row; None without one."""
    logged_rows: int
    """Rows of the version that the log holds for the period; `predictions` may hold a sample of them."""
    other_versions: dict[str, int]
    """Rows of the model's other versions in the period, by number."""
    unknown_labels: int
    """Labels of the period that belong to none of the rows that were read."""


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """The rows of a model in a period that have a label."""

    rows: pa.Table
    """One line for each row: request id, row, time, and the features that all files have."""
    labels: list[Label]
    """The label of each row, never None."""
    dates: frozenset[str]
    """Names of the features that hold dates, as ISO 8601 text."""
    left_out: list[str]
    """Names of the features that only some of the files have."""


@dataclass(frozen=True, kw_only=True)
class AnsweredRows:
    """The predictions of a model in a period, by the number of the version that answered."""

    predictions: dict[str, pa.Table]
    """As in `LogWindow`. The version that answered the most of these rows is the first."""
    labels: dict[str, list[Label]]
    """The label of each row; None without one."""
    logged_rows: int
    """Rows of the model that the log holds for the period; `predictions` may hold a sample of them."""


def read_window(store: LogStore, *, model: str, version: str, since: datetime, max_rows: int = MAX_ROWS) -> LogWindow:
    """Read the predictions of a version.

    A row that was written twice, because the store answered too late, counts once. If a row has several labels, the
    last one counts.

    Args:
        store: The store of the log.
        model: Name of the registered model.
        version: Number of the version.
        since: Beginning of the period.
        max_rows: Number of rows that are read at most, roughly.

    Raises:
        MantaError: The store does not answer, or a file is damaged or of another release.
    """
    files = [file for file in store.files("predictions", since=since) if file.model == model]
    of_version = [file for file in files if file.version == version]
    others: dict[str, int] = {}
    for file in files:
        if file.version != version:
            others[file.version] = others.get(file.version, 0) + file.rows
    predictions = _read_sample(store, *_choose(of_version, max_rows))
    labels = _read_labels(store, since)
    row_labels = [labels.get(key) for key in _keys(predictions)]
    return LogWindow(
        predictions=predictions,
        labels=row_labels,
        logged_rows=sum(file.rows for file in of_version),
        other_versions=others,
        unknown_labels=len(labels) - sum(label is not None for label in row_labels),
    )


def read_answered(store: LogStore, *, model: str, since: datetime, max_rows: int = MAX_ROWS) -> AnsweredRows:
    """Read the predictions of a model, whichever version answered.

    Rows that were written twice and rows with several labels count as in `read_window`.

    Args:
        store: The store of the log.
        model: Name of the registered model.
        since: Beginning of the period.
        max_rows: Number of rows that are read at most, roughly.

    Raises:
        MantaError: The store does not answer, or a file is damaged or of another release.
    """
    files = [file for file in store.files("predictions", since=since) if file.model == model]
    chosen: dict[str, list[LogFile]] = {}
    chosen_files, share = _choose(files, max_rows)
    for file in chosen_files:
        chosen.setdefault(file.version, []).append(file)
    tables_read = {version: _read_sample(store, of_version, share) for version, of_version in chosen.items()}
    predictions = dict(sorted(tables_read.items(), key=lambda item: -item[1].num_rows))
    labels = _read_labels(store, since) if predictions else {}
    return AnsweredRows(
        predictions=predictions,
        labels={version: [labels.get(key) for key in _keys(table)] for version, table in predictions.items()},
        logged_rows=sum(file.rows for file in files),
    )


def read_labelled(store: LogStore, *, model: str, since: datetime, max_rows: int = MAX_LABELS) -> LabelledRows:
    """Read the rows of a model that have a label, whichever version answered them.

    Each row counts once, with its last label.

    Args:
        store: The store of the log.
        model: Name of the registered model.
        since: Beginning of the period.
        max_rows: Files are read, the newest first, until they hold this number of labelled rows.

    Raises:
        MantaError: The store does not answer, or a file is damaged or of another release.
        DataError: A column holds numbers in one file and text in another.
    """
    labels = _read_labels(store, since)
    files = [file for file in store.files("predictions", since=since) if labels and file.model == model]
    parts: list[pa.Table] = []
    dates: set[str] = set()
    for file in sorted(files, key=lambda file: file.time_ms, reverse=True):
        with tempfile.TemporaryDirectory(prefix="manta-log-") as folder:
            table = _checked(store.read(file, Path(folder)), file)
        labelled = table.filter(pa.array([key in labels for key in _keys(table)], pa.bool_()))
        if labelled.num_rows:
            columns = [log_files.REQUEST_ID, log_files.ROW, log_files.TIME]
            parts.append(labelled.select(columns + [FEATURE_PREFIX + name for name in tables.feature_names(table)]))
            dates |= set(json.loads((table.schema.metadata or {}).get(log_files.DATES_KEY, b"[]")))
        if sum(part.num_rows for part in parts) >= max_rows:
            break
    try:
        rows = _unique(_concatenate(parts[::-1]))
    except pa.ArrowTypeError as error:
        raise DataError(
            f"The prediction log of {model!r} has a column that holds numbers for one version, and text for another.",
            next_step="Choose a period in which all versions take the same columns.",
        ) from error
    names = set().union(*(tables.feature_names(part) for part in parts))
    return LabelledRows(
        rows=rows,
        labels=[labels[key] for key in _keys(rows)],
        dates=frozenset(dates),
        left_out=sorted(names - set(tables.feature_names(rows))),
    )


def _choose(files: Sequence[LogFile], max_rows: int) -> tuple[list[LogFile], float]:
    """Choose files at random.

    Returns:
        The files, and the share of their rows that makes `max_rows` rows; at most 1.
    """
    chosen: list[LogFile] = []
    rows = 0
    for index in np.random.default_rng(0).permutation(len(files)):
        if rows >= max_rows and len(chosen) >= MIN_FILES:
            break
        chosen.append(files[index])
        rows += files[index].rows
    return sorted(chosen, key=lambda file: file.time_ms), min(1.0, max_rows / max(1, rows))


def _read_sample(store: LogStore, files: Sequence[LogFile], share: float) -> pa.Table:
    """Read files, and keep a share of their requests, in which every request that was answered counts alike.

    Rows that were written twice count once. The `RARE_ROWS` of the smallest shares count for less than they should.
    """
    generator = np.random.default_rng(0)
    parts: list[pa.Table] = []
    for file in files:
        with tempfile.TemporaryDirectory(prefix="manta-log-") as folder:
            table = _checked(store.read(file, Path(folder)), file)
        parts.append(_sample(table, np.full(table.num_rows, share), generator))
    predictions = _unique(_concatenate(parts))
    if predictions.num_rows == 0:
        return predictions
    shares = predictions[log_files.SHARE].to_numpy()
    return _sample(predictions, np.quantile(shares, RARE_ROWS, method="lower") / shares, generator)


def _sample(table: pa.Table, shares: np.ndarray, generator: np.random.Generator) -> pa.Table:
    """Keep each request with the probability in `shares`, of shape (rows,), which is the same for all of its rows."""
    if shares.min(initial=1.0) >= 1:
        return table
    requests = table[log_files.REQUEST_ID].combine_chunks().dictionary_encode()
    limits = generator.random(len(requests.dictionary))[requests.indices.to_numpy()]
    return table.filter(pa.array(limits < shares))


def _concatenate(parts: Sequence[pa.Table]) -> pa.Table:
    """Join tables by the columns that all of them have."""
    if not parts:
        return pa.table({log_files.REQUEST_ID: pa.array([], pa.string()), log_files.ROW: pa.array([], pa.int64())})
    common = set.intersection(*(set(table.column_names) for table in parts))
    names = [name for name in parts[0].column_names if name in common]
    return pa.concat_tables([table.select(names) for table in parts], promote_options="permissive")


def _checked(table: pa.Table, file: LogFile) -> pa.Table:
    """Check that this release knows the format of a file."""
    file_format = (table.schema.metadata or {}).get(FORMAT_KEY, b"none")
    if file_format != FORMAT:
        raise PlatformError(
            f"The file {file.path} of the prediction log has the format {file_format.decode(errors='replace')!r}.",
            allowed=f"format {FORMAT.decode()}",
            next_step="Choose a period that begins later, or use the release that wrote the file.",
        )
    return table


def _unique(table: pa.Table) -> pa.Table:
    first = {key: index for index, key in reversed(list(enumerate(_keys(table))))}
    return table if len(first) == table.num_rows else table.take(sorted(first.values()))


def _keys(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(table[log_files.REQUEST_ID].to_pylist(), table[log_files.ROW].to_pylist(), strict=True))


def _read_labels(store: LogStore, since: datetime) -> dict[tuple[str, int], Label]:
    """Return the last label of each row, by the request's id and the row's index."""
    files = sorted(store.files("feedback", since=since), key=lambda file: file.time_ms)
    rows_of_later_files = 0
    kept: list[LogFile] = []
    for file in reversed(files):
        if rows_of_later_files >= MAX_LABELS:
            break
        kept.append(file)
        rows_of_later_files += file.rows
    labels: dict[tuple[str, int], Label] = {}
    with tempfile.TemporaryDirectory(prefix="manta-log-") as folder:
        for file in reversed(kept):
            table = _checked(store.read(file, Path(folder)), file)
            texts = map(json.loads, table[tables.LABEL].to_pylist())
            labels |= dict(zip(_keys(table), texts, strict=True))
    return labels
