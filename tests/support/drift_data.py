"""References and windows without files, for the tests and the benchmark of drift."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from app.records.reference import ColumnProfile, Profile, Reference


def number_profile(name: str, values: np.ndarray, influence: float | None = 1.0) -> ColumnProfile:
    return ColumnProfile(
        name=name,
        kind="number",
        missing=float(np.isnan(values).mean()),
        influence=influence,
        mean=float(np.nanmean(values)),
        std=float(np.nanstd(values)),
    )


def answers_of(features: np.ndarray, noise: np.ndarray) -> tuple[dict[str, pa.Array], np.ndarray]:
    """Answers of a model of the first column, and the labels: each is right with the probability that it says."""
    probability = 1 / (1 + np.exp(-2 * features[:, 0]))
    columns = {
        "prediction": pa.array(np.where(probability > 0.5, "yes", "no").tolist()),
        "probabilities": pa.array(np.column_stack([1 - probability, probability]).tolist()),
    }
    return columns, np.where(noise < probability, "yes", "no")


def window_of(features: np.ndarray, noise: np.ndarray) -> tuple[pa.Table, list[str]]:
    """A window, and its labels."""
    columns, labels = answers_of(features, noise)
    return pa.table(feature_columns(features) | columns), labels.tolist()


def reference_of(
    rows: np.ndarray, held_out: np.ndarray, noise: np.ndarray, influences: Sequence[float | None] | None = None
) -> Reference:
    """A reference of rows of numbers."""
    columns, labels = answers_of(held_out, noise)
    influences = influences or [1.0] * rows.shape[1]
    return Reference(
        profile=Profile(
            source="training",
            row_count=len(rows),
            columns=[
                number_profile(f"x{index}", rows[:, index], influence) for index, influence in enumerate(influences)
            ],
            task="classification",
            metric="accuracy",
            margin=0.0,
            classes=["no", "yes"],
            held_out_count=len(held_out),
        ),
        rows=pa.table(feature_columns(rows[:10_000])),
        held_out=pa.table(feature_columns(held_out) | columns | {"label": pa.array(labels.tolist())}),
    )


def feature_columns(rows: np.ndarray) -> dict[str, pa.Array]:
    return {f"feature.x{index}": pa.array(rows[:, index], from_pandas=True) for index in range(rows.shape[1])}
