"""The table of the last hour: the requests, errors and latencies of each version in periods of ten minutes."""

from dataclasses import dataclass
from typing import Final

from app.serving.measures.history import SLOT_S, SLOTS
from app.serving.measures.messages import MeasuresHistory

SLOTS_OF_ROW: Final = 20
"""Slots of a row of the table: ten minutes."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one version did in ten minutes."""

    minutes: str
    version: str
    role: str
    requests: int
    errors: int
    client_errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


def build(history: MeasuresHistory) -> list[Row]:
    """Build the table, newest row first, without the periods in which a version had no request."""
    minutes = history.slot_seconds // 60
    slots = SLOTS * SLOT_S // history.slot_seconds
    return [
        Row(
            minutes=f"{minutes * (slots - slot)} to {minutes * (slots - slot - 1)} min ago",
            version=version.version,
            role=version.role,
            requests=version.requests[slot],
            errors=version.errors[slot],
            client_errors=version.client_errors[slot],
            p50_ms=version.p50_ms[slot],
            p95_ms=version.p95_ms[slot],
            p99_ms=version.p99_ms[slot],
        )
        for slot in reversed(range(slots))
        for version in history.history
        if version.requests[slot] or version.errors[slot] or version.client_errors[slot]
    ]
