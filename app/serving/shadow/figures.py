"""The figures of a comparison: as a message, as metrics, and as documents for the MLflow run of a version."""

import math
from collections.abc import Sequence
from typing import Any, Final

from app.serving.measures.tally import TallySnapshot, quantile_s
from app.serving.shadow.comparison import SIZES, Comparison
from app.serving.shadow.different_rows import MAX_COLUMNS
from app.serving.shadow.messages import Differences, DifferentRow, Latency, ShadowFigures

QUANTILES: Final = (0.5, 0.95, 0.99)

DIGITS: Final = 6
"""Significant digits of a mean."""


def build(comparison: Comparison, *, champion_latency: Latency) -> ShadowFigures:
    """Build the figures of a comparison."""
    is_compared = comparison.is_classifier and comparison.rows > 0
    return ShadowFigures(
        champion=comparison.champion,
        requests=comparison.requests,
        rows=comparison.rows,
        errors=comparison.errors,
        last_error=comparison.last_error or None,
        dropped=comparison.dropped,
        agreement=_rounded(comparison.equal_rows / comparison.rows) if is_compared else None,
        labels=comparison.labels,
        confusion=comparison.confusion.tolist(),
        difference=_differences(comparison) if comparison.rows else None,
        latency=latency(comparison),
        champion_latency=champion_latency,
    )


def latency(counts: Comparison | TallySnapshot | None) -> Latency:
    """Return the quantiles of the latencies; null without requests."""
    values = [None if counts is None else quantile_s(counts.latencies, quantile) for quantile in QUANTILES]
    p50, p95, p99 = (None if seconds is None else round(1000 * seconds, 3) for seconds in values)
    return Latency(p50_ms=p50, p95_ms=p95, p99_ms=p99)


def metrics(figures: ShadowFigures, *, prefix: str) -> dict[str, float]:
    """Return the figures that are numbers, as metrics of a run whose names begin with `prefix` and a dot."""
    difference = figures.difference.model_dump() if figures.difference else {}
    latencies = {"latency": figures.latency, "champion_latency": figures.champion_latency}
    values = {
        "requests": figures.requests,
        "rows": figures.rows,
        "errors": figures.errors,
        "dropped": figures.dropped,
        "agreement": figures.agreement,
        **{f"difference_{name}": value for name, value in difference.items()},
        **{f"{name}_{key}": value for name, latency in latencies.items() for key, value in latency},
    }
    return {f"{prefix}.{name}": float(value) for name, value in values.items() if value is not None}


def documents(
    folder: str, figures: ShadowFigures, rows: Sequence[DifferentRow], columns: Sequence[str]
) -> dict[str, Any]:
    """Return JSON documents by their path among the artifacts of a run. The values have any type of JSON.

    Args:
        folder: Folder of the documents.
        figures: The figures.
        rows: The rows that differ most. Without rows there is no document of rows.
        columns: Names of the columns of the rows.
    """
    comparison = {f"{folder}/comparison.json": figures.model_dump(mode="json")}
    if not rows:
        return comparison
    cells = [row.model_dump(mode="json") for row in rows]
    return comparison | {f"{folder}/rows.json": {"columns": list(columns[:MAX_COLUMNS]), "rows": cells}}


def _differences(comparison: Comparison) -> Differences:
    p50, p95, p99 = SIZES.quantiles(comparison.sizes, QUANTILES)
    largest = comparison.max
    return Differences(
        mean=_rounded(comparison.sum / comparison.rows),
        p50=min(p50, largest),
        p95=min(p95, largest),
        p99=min(p99, largest),
        max=largest,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value
