"""Builds the reference of a version at training. `app.records.reference` defines it and stores it."""

import time
from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from mlflow.types import DataType
from sklearn.base import BaseEstimator

from app.models.answers import Answers
from app.models.frames import to_rows
from app.models.signature import TEXT_TYPES, Column, infer_columns
from app.records import tables
from app.records.reference import MAX_CATEGORIES, MAX_CELLS, MAX_ROWS, MAX_TEXT_CHARS, ColumnProfile, Profile, Reference
from app.training.data.dataset import Rows
from app.training.evaluation.gate_decision import GateConfig
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions, predict

INFLUENCE_ROWS: Final = 500
"""Maximum number of held-out rows on which the influence of a column is measured."""

INFLUENCE_BATCH_ROWS: Final = 20_000
"""Number of rows that are predicted at once while influences are measured."""

INFLUENCE_TIME_S: Final = 10.0
"""Time after which no further influence is measured."""


@dataclass(frozen=True, kw_only=True)
class FeatureSample:
    """What a reference keeps of the features of the training rows."""

    source: Literal["training", "held_out"]
    """Which rows these are; see `Profile.source`."""
    row_count: int
    """Number of all these rows."""
    columns: list[ColumnProfile]
    """Each column in all these rows."""
    rows: pa.Table
    """A sample of the rows; see `Reference.rows`."""

    @classmethod
    def of(cls, features: pd.DataFrame, *, source: Literal["training", "held_out"]) -> Self:
        """Describe rows, and keep a sample of them.

        Args:
            features: Shape (rows, columns).
            source: Which rows these are.

        Raises:
            ModelRefusedError: A column has a type that no request can send.
        """
        columns = infer_columns(features)
        return cls(
            source=source,
            row_count=len(features),
            columns=[_describe(features[column.name], column) for column in columns],
            rows=_feature_table(features.iloc[_sample(features)]),
        )


def build(
    sample: FeatureSample, model: BaseEstimator, predicted: Predictions, held_out: Rows, gate: GateConfig
) -> Reference:
    """Complete a reference with what the model answered for the held-out rows.

    Args:
        sample: The training rows.
        model: The fitted model.
        predicted: Its answers for the held-out rows.
        held_out: The held-out rows.
        gate: Metric and margin of the gate.
    """
    influences = measure_influence(model, held_out.features)
    positions = _sample(held_out.features)
    answers = Answers(
        predictions=predicted.answers[positions],
        probabilities=None if predicted.probabilities is None else predicted.probabilities[positions],
    )
    table = _feature_table(held_out.features.iloc[positions])
    labels = tables.values(held_out.target.to_numpy()[positions])
    for name, column in (tables.answer_columns(answers) | {tables.LABEL: labels}).items():
        table = table.append_column(name, column)
    profile = Profile(
        source=sample.source,
        row_count=sample.row_count,
        columns=[column.model_copy(update={"influence": influences.get(column.name)}) for column in sample.columns],
        task=find_metric(gate.metric).task,
        metric=gate.metric,
        margin=gate.margin,
        classes=[] if predicted.classes is None else predicted.classes.tolist(),
        held_out_count=len(held_out),
    )
    return Reference(profile=profile, rows=sample.rows, held_out=table)


def measure_influence(model: BaseEstimator, features: pd.DataFrame) -> dict[str, float]:
    """Measure how much the answers of a model depend on each column.

    The values of one column are exchanged between rows, and the new answers are compared with the old ones. For a
    classifier, the influence is the mean total variation distance between the old and the new probabilities, or the
    share of the rows with another class if the model gives no probabilities: 0 to 1. For a regressor, it is the mean
    absolute difference, in standard deviations of the answers.

    Args:
        model: The fitted model.
        features: Shape (rows, columns).

    Returns:
        The influence by the name of the column. Columns that cannot be measured in `INFLUENCE_TIME_S` are missing.
    """
    generator = np.random.default_rng(0)
    rows = features.iloc[generator.permutation(len(features))[:INFLUENCE_ROWS]].reset_index(drop=True)
    before = predict(model, rows)
    order = generator.permutation(len(rows))
    columns_per_batch = max(1, INFLUENCE_BATCH_ROWS // max(1, len(rows)))
    names = list(rows.columns)
    influences: dict[str, float] = {}
    start_s = time.monotonic()
    for start in range(0, len(names), columns_per_batch):
        if time.monotonic() - start_s > INFLUENCE_TIME_S:
            break
        batch = names[start : start + columns_per_batch]
        exchanged = [rows.assign(**{name: rows[name].iloc[order].reset_index(drop=True)}) for name in batch]
        after = predict(model, pd.concat(exchanged, ignore_index=True))
        for index, name in enumerate(batch):
            part = slice(index * len(rows), (index + 1) * len(rows))
            influences[name] = _distance(before, after, part)
    return influences


def _distance(before: Predictions, after: Predictions, part: slice) -> float:
    if before.probabilities is not None and after.probabilities is not None:
        return float(np.abs(before.probabilities - after.probabilities[part]).sum(axis=1).mean() / 2)
    if before.answers.dtype.kind == "f":
        spread = float(np.std(before.answers)) or 1.0
        return float(np.abs(before.answers - after.answers[part]).mean() / spread)
    return float(np.mean(before.answers != after.answers[part]))


def _describe(values: pd.Series, column: Column) -> ColumnProfile:
    missing = float(values.isna().mean())
    present = values.dropna()
    if column.type in TEXT_TYPES - {DataType.datetime}:
        counts = present.astype(str).str[:MAX_TEXT_CHARS].value_counts()
        return ColumnProfile(
            name=column.name,
            kind="text",
            missing=missing,
            categories={str(text): int(count) for text, count in counts.head(MAX_CATEGORIES).items()},
            category_count=len(counts),
        )
    kind: Literal["number", "date"] = "number"
    if column.type == DataType.datetime:
        kind, present = "date", pd.to_datetime(present).astype("datetime64[us]").astype(np.int64) / 1e6
    numbers = present.to_numpy(dtype=np.float64)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        return ColumnProfile(name=column.name, kind=kind, missing=missing)
    return ColumnProfile(
        name=column.name,
        kind=kind,
        missing=missing,
        mean=float(numbers.mean()),
        std=float(numbers.std()),
        quantiles=np.quantile(numbers, np.linspace(0, 1, 101)).tolist(),
    )


def _sample(features: pd.DataFrame) -> np.ndarray:
    """Return the positions of the rows that are kept, in ascending order. Equal data give equal positions."""
    count = min(MAX_ROWS, max(1, MAX_CELLS // max(1, features.shape[1])))
    if len(features) <= count:
        return np.arange(len(features))
    return np.sort(np.random.default_rng(0).choice(len(features), size=count, replace=False))


def _feature_table(features: pd.DataFrame) -> pa.Table:
    columns = infer_columns(features)
    arrays = tables.feature_columns(to_rows(features, columns), columns)
    return pa.table(
        {
            name: pc.utf8_slice_codeunits(array, 0, MAX_TEXT_CHARS) if pa.types.is_string(array.type) else array
            for name, array in arrays.items()
        }
    )
