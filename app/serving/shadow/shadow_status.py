"""Describes a shadow: for `GET /model/shadow`, and for the MLflow run of its version."""

import math
from typing import Final

from app.errors import PlatformError
from app.serving import schemas
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember, ReplicaGroup
from app.serving.measures import fleet_measures
from app.serving.measures.measures import CHAMPION
from app.serving.measures.tally import Role, TallySnapshot, quantile_s
from app.serving.shadow.comparison import SIZES, Comparison, merge
from app.serving.shadow.member import ShadowReport
from app.serving.shadow.messages import Differences, Latency, ShadowFigures, ShadowState, ShadowStatus

QUANTILES: Final = (0.5, 0.95, 0.99)

DIGITS: Final = 6
"""Significant digits of a mean."""


async def status(
    group: ReplicaGroup, model: str, state: ShadowState | None, reports: list[ShadowReport], *, trouble: str
) -> ShadowStatus:
    """Build the message about a shadow.

    Args:
        group: All replicas.
        model: Name of the registered model.
        state: The shadow; None if there is none.
        reports: The parts of the replicas.
        trouble: Why the figures are not in MLflow; empty if they are.
    """
    comparison = merge([report.comparison for report in reports if report.comparison is not None])
    troubles = [report.trouble or (str(report.error) if report.error else "") for report in reports]
    return ShadowStatus(
        shadow=state,
        figures=None if comparison is None else await figures(group, model, comparison),
        rows=[] if comparison is None else comparison.most_different,
        replicas=len(reports),
        replicas_ready=sum(report.is_held for report in reports),
        trouble=next((text for text in [*troubles, trouble] if text), None),
        timestamp=schemas.now(),
    )


async def figures(group: ReplicaGroup, model: str, comparison: Comparison) -> ShadowFigures:
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
        latency=_latency(comparison),
        champion_latency=_latency(await _champion(group, Role(model, comparison.champion, CHAMPION))),
    )


def metrics(shadow: ShadowFigures) -> dict[str, float]:
    """Return the figures that are numbers, as metrics of a run."""
    difference = shadow.difference.model_dump() if shadow.difference else {}
    latencies = {"latency": shadow.latency, "champion_latency": shadow.champion_latency}
    values = {
        "requests": shadow.requests,
        "rows": shadow.rows,
        "errors": shadow.errors,
        "dropped": shadow.dropped,
        "agreement": shadow.agreement,
        **{f"difference_{name}": value for name, value in difference.items()},
        **{f"{name}_{key}": value for name, latency in latencies.items() for key, value in latency},
    }
    return {f"shadow.{name}": float(value) for name, value in values.items() if value is not None}


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


def _latency(counts: Comparison | TallySnapshot | None) -> Latency:
    values = [None if counts is None else quantile_s(counts.latencies, quantile) for quantile in QUANTILES]
    p50, p95, p99 = (None if seconds is None else round(1000 * seconds, 3) for seconds in values)
    return Latency(p50_ms=p50, p95_ms=p95, p99_ms=p99)


async def _champion(group: ReplicaGroup, role: Role) -> TallySnapshot | None:
    """Return what the champion did on all replicas."""
    try:
        answers = await group.broadcast(FleetMember.measures, ANSWER_TIMEOUT_S, role.model)
    except PlatformError:
        return None
    totals = fleet_measures.add(snapshot for answer in answers for snapshot in answer)
    return next((total for total in totals if total.role == role), None)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value
