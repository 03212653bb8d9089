"""Adds the last hour of all replicas, for `GET /model/measures/history` and for the charts of the page."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np

from app.serving.measures.history import CLIENT_ERRORS, ERRORS, REQUESTS, SLOT_S, SLOTS, Track
from app.serving.measures.messages import VersionHistory
from app.serving.measures.tally import quantiles_s


def add(tracks: Iterable[Track]) -> list[Track]:
    """Add the tracks of each version and role over the replicas. The sums end at the same slot."""
    groups: dict[object, list[Track]] = {}
    for track in tracks:
        groups.setdefault(track.role, []).append(track)
    last_slot = max((track.last_slot for group in groups.values() for track in group), default=0)
    return [_add(group, last_slot) for _, group in sorted(groups.items(), key=lambda item: str(item[0]))]


def begin(tracks: Sequence[Track]) -> datetime | None:
    """Return the time at which the first slot began; None without tracks."""
    return datetime.fromtimestamp((tracks[0].last_slot - SLOTS + 1) * SLOT_S, UTC) if tracks else None


def describe(track: Track, *, joined: int = 1) -> VersionHistory:
    """Build the message about a version.

    Args:
        track: The sum of all replicas.
        joined: Number of slots that are joined into one; a divisor of `SLOTS`.
    """
    counts = track.counts.reshape(SLOTS // joined, joined, -1).sum(axis=1)
    latencies = track.latencies.reshape(SLOTS // joined, joined, -1).sum(axis=1)
    return VersionHistory(
        version=track.role.version,
        role=track.role.role,
        requests=counts[:, REQUESTS].tolist(),
        client_errors=counts[:, CLIENT_ERRORS].tolist(),
        errors=counts[:, ERRORS].tolist(),
        p50_ms=_quantiles_ms(latencies, 0.5),
        p95_ms=_quantiles_ms(latencies, 0.95),
        p99_ms=_quantiles_ms(latencies, 0.99),
    )


def _add(group: Sequence[Track], last_slot: int) -> Track:
    counts, latencies = (np.zeros_like(array, dtype=np.int64) for array in (group[0].counts, group[0].latencies))
    for track in group:
        late = min(last_slot - track.last_slot, SLOTS)  # above 0 if the clock of the replica is behind
        counts[: SLOTS - late] += track.counts[late:]
        latencies[: SLOTS - late] += track.latencies[late:]
    return Track(role=group[0].role, last_slot=last_slot, counts=counts, latencies=latencies)


def _quantiles_ms(latencies: np.ndarray, quantile: float) -> list[float | None]:
    return [None if value is None else round(1000 * value, 3) for value in quantiles_s(latencies, quantile)]
