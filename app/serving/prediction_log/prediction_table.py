"""Predictions of one version as a table of the prediction log."""

import json
from collections.abc import Collection

import numpy as np
import pyarrow as pa
from mlflow.types import DataType

from app.models.signature import Columns
from app.records import log_files, tables
from app.serving.prediction_log import request_ids
from app.serving.prediction_log.batch import Batch, Predictions


def prediction_table(batch: Batch, predictions: Predictions, *, kept: Collection[str]) -> pa.Table:
    """Convert predictions of one version to a table with one line for each row.

    Args:
        batch: The version, its role, and the share of the requests that were kept.
        predictions: At least one prediction.
        kept: Names of the features to log; empty for all.
    """
    counts, version = predictions.counts, batch.version
    total = int(counts.sum())
    repeated = np.repeat(np.arange(len(counts)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    columns = {
        log_files.REQUEST_ID: _ids(predictions.id_headers).take(pa.array(repeated)),
        log_files.ROW: pa.array(np.arange(total) - starts),
        log_files.TIME: pa.array(predictions.times_ms[repeated], log_files.TIME_TYPE),
        log_files.MODEL: pa.repeat(version.name, total),
        log_files.VERSION: pa.repeat(str(version.version), total),
        log_files.ROLE: pa.repeat(batch.role, total),
        log_files.SHARE: pa.repeat(batch.share, total),
    }
    positions = [index for index, column in enumerate(batch.columns) if not kept or column.name in kept]
    kept_columns = Columns(batch.columns[index] for index in positions)
    rows = predictions.rows if len(positions) == len(batch.columns) else predictions.rows[:, positions]
    columns |= tables.feature_columns(rows, kept_columns)
    columns |= tables.answer_columns(predictions.answers)
    labels = batch.labels
    classes = [] if labels is None or predictions.answers.probabilities is None else labels.tolist()
    metadata = {log_files.FORMAT_KEY: log_files.FORMAT, log_files.CLASSES_KEY: json.dumps(classes).encode()}
    dates = [column.name for column in kept_columns if column.type == DataType.datetime]
    if dates:
        metadata[log_files.DATES_KEY] = json.dumps(dates).encode()
    return pa.table(columns).replace_schema_metadata(metadata)


def _ids(headers: list[bytes]) -> pa.Array:
    if all(headers) and b"".join(headers).isascii():
        return pa.array(headers, pa.binary()).view(pa.string())
    return pa.array([request_ids.to_text(header) for header in headers], pa.string())
