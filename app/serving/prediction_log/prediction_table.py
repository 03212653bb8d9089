"""Predictions of one version as a table of the prediction log."""

import json
from collections.abc import Collection

import numpy as np
import pyarrow as pa
from mlflow.types import DataType

from app.models.answers import Answers
from app.models.signature import Columns
from app.records import log_files, tables
from app.serving.prediction_log import request_ids
from app.serving.prediction_log.buffer import Batch


def prediction_table(batch: Batch, *, share: float, kept: Collection[str]) -> pa.Table:
    """Convert predictions of one version to a table with one line for each row.

    Args:
        batch: At least one prediction.
        share: Share of the requests that are logged.
        kept: Names of the features to log; empty for all.
    """
    counts, total, version = np.array(batch.counts), batch.row_count, batch.version
    times_ms = np.array(batch.times_ns) // 1_000_000
    ids = [request_ids.to_text(header) for header in batch.id_headers]
    repeated = np.repeat(np.arange(len(counts)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    columns = {
        log_files.REQUEST_ID: pa.array(ids, pa.string()).take(pa.array(repeated)),
        log_files.ROW: pa.array(np.arange(total) - starts),
        log_files.TIME: pa.array(np.repeat(times_ms, counts), log_files.TIME_TYPE),
        log_files.MODEL: pa.repeat(version.name, total),
        log_files.VERSION: pa.repeat(str(version.version), total),
        log_files.ROLE: pa.repeat(batch.role, total),
        log_files.SHARE: pa.repeat(share, total),
    }
    positions = [index for index, column in enumerate(batch.columns) if not kept or column.name in kept]
    kept_columns = Columns(batch.columns[index] for index in positions)
    columns |= tables.feature_columns(batch.rows.join()[:, positions], kept_columns)
    answers = Answers(
        predictions=batch.predictions.join(),
        probabilities=None if batch.probabilities is None else batch.probabilities.join(),
    )
    columns |= tables.answer_columns(answers)
    classes = [] if batch.labels is None or batch.probabilities is None else batch.labels.tolist()
    metadata = {log_files.FORMAT_KEY: log_files.FORMAT, log_files.CLASSES_KEY: json.dumps(classes).encode()}
    dates = [column.name for column in kept_columns if column.type == DataType.datetime]
    if dates:
        metadata[log_files.DATES_KEY] = json.dumps(dates).encode()
    return pa.table(columns).replace_schema_metadata(metadata)
