"""Adds the tallies of all replicas, for `GET /model/measures` and `manta status`."""

from collections.abc import Iterable
from functools import reduce

from app.serving.measures.messages import VersionMeasures
from app.serving.measures.tally import TallySnapshot, quantile_s


def add(snapshots: Iterable[TallySnapshot]) -> list[TallySnapshot]:
    """Add the snapshots of the same version in the same role, whichever replica they are of."""
    groups: dict[object, list[TallySnapshot]] = {}
    for snapshot in snapshots:
        groups.setdefault(snapshot.role, []).append(snapshot)
    return [reduce(_add, group) for _, group in sorted(groups.items(), key=lambda item: str(item[0]))]


def describe(snapshot: TallySnapshot) -> VersionMeasures:
    """Build the message about a version."""
    classes, quantiles = None, None
    if snapshot.bins is not None and snapshot.answers is not None:
        classes, quantiles = snapshot.bins.describe(snapshot.answers)
    return VersionMeasures(
        version=snapshot.role.version,
        role=snapshot.role.role,
        requests=snapshot.requests,
        rows=snapshot.rows,
        client_errors=snapshot.client_errors,
        errors=snapshot.errors,
        p50_ms=_quantile_ms(snapshot, 0.5),
        p95_ms=_quantile_ms(snapshot, 0.95),
        p99_ms=_quantile_ms(snapshot, 0.99),
        answers=classes,
        answer_quantiles=quantiles,
    )


def _add(left: TallySnapshot, right: TallySnapshot) -> TallySnapshot:
    return TallySnapshot(
        role=left.role,
        requests=left.requests + right.requests,
        rows=left.rows + right.rows,
        client_errors=left.client_errors + right.client_errors,
        errors=left.errors + right.errors,
        seconds=left.seconds + right.seconds,
        latencies=left.latencies + right.latencies,
        answers=None if left.answers is None or right.answers is None else left.answers + right.answers,
        bins=left.bins,
    )


def _quantile_ms(snapshot: TallySnapshot, quantile: float) -> float | None:
    seconds = quantile_s(snapshot.latencies, quantile)
    return None if seconds is None else round(1000 * seconds, 3)
