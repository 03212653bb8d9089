"""What each version did in each half minute of the last hour, on one replica.

Once a second the growth of the tallies is added to the current slot, so this costs a request nothing. The memory is
bounded: `MAX_TRACKS` tracks of 45 kB each. `app.serving.measures.fleet_history` adds the tracks of all replicas.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from app import names
from app.serving.measures.tally import BOUNDS_S, Role, Tally

log = logging.getLogger(names.SERVING_LOG)

SLOT_S: Final = 30
"""Length of a slot in seconds."""

SLOTS: Final = 120
"""Slots of an hour."""

MAX_TRACKS: Final = 100
"""Maximum number of tracks: two versions of 50 models. One more replaces the track with the oldest last request."""

RECORD_INTERVAL_S: Final = 1.0

REQUESTS: Final = 0
CLIENT_ERRORS: Final = 1
ERRORS: Final = 2
"""Columns of `Track.counts`. `Tally` says what each counts."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """What one version did in one role in the last hour."""

    role: Role
    last_slot: int
    """Seconds since 1970 at the start of the last slot, divided by `SLOT_S`."""
    counts: np.ndarray
    """Shape (SLOTS, 3), oldest slot first. Columns: `REQUESTS`, `CLIENT_ERRORS` and `ERRORS`."""
    latencies: np.ndarray
    """Shape (SLOTS, len(BOUNDS_S) + 1): requests by latency; see `Tally.latencies`."""


class History:
    """The last hour of one replica.

    Args:
        tallies: Returns the tallies of the replica.
        clock: Returns the seconds since 1970.
    """

    def __init__(self, tallies: Callable[[], Iterable[Tally]], clock: Callable[[], float] = time.time) -> None:
        self._tallies = tallies
        self._clock = clock
        self._rings: OrderedDict[Role, _Ring] = OrderedDict()
        self._recorded: WeakKeyDictionary[Tally, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()
        """Counts and latencies of each tally at its last recording."""

    async def run_forever(self) -> None:
        """Record once a second until cancelled. A failure is logged."""
        while True:
            await asyncio.sleep(RECORD_INTERVAL_S)
            try:
                self.record()
            except Exception:  # a failure must not end the recording
                log.exception("the measures cannot be recorded")

    def record(self) -> None:
        """Add what the tallies have grown by since the last call."""
        slot = int(self._clock() // SLOT_S)
        for tally in list(self._tallies()):
            counts = np.array([tally.requests, tally.client_errors, tally.errors], dtype=np.int64)
            last_counts, last_latencies = self._recorded.get(tally, (0, 0))
            growth = counts - last_counts
            if not growth.any():
                continue
            latencies = tally.latencies.copy()
            self._recorded[tally] = (counts, latencies)
            self._ring(tally.role).add(slot, growth, latencies - last_latencies)

    def read(self, model: str) -> list[Track]:
        """Record, and return the tracks of a model that are not empty."""
        self.record()
        slot = int(self._clock() // SLOT_S)
        tracks = [ring.read(role, slot) for role, ring in self._rings.items() if role.model == model]
        return [track for track in tracks if track.counts.any()]

    def _ring(self, role: Role) -> "_Ring":
        ring = self._rings.get(role)
        if ring is None:
            ring = self._rings[role] = _Ring()
            if len(self._rings) > MAX_TRACKS:
                self._rings.popitem(last=False)
        self._rings.move_to_end(role)
        return ring


class _Ring:
    """The slots of one track. Slot n is in row n modulo `SLOTS`."""

    def __init__(self) -> None:
        self._last_slot = 0
        self._counts = np.zeros((SLOTS, 3), dtype=np.uint32)
        self._latencies = np.zeros((SLOTS, len(BOUNDS_S) + 1), dtype=np.uint32)

    def add(self, slot: int, counts: np.ndarray, latencies: np.ndarray) -> None:
        row = self._advance(slot) % SLOTS
        self._counts[row] += counts.astype(np.uint32)
        self._latencies[row] += latencies.astype(np.uint32)

    def read(self, role: Role, slot: int) -> Track:
        last_slot = self._advance(slot)
        rows = np.arange(last_slot - SLOTS + 1, last_slot + 1) % SLOTS
        return Track(role=role, last_slot=last_slot, counts=self._counts[rows], latencies=self._latencies[rows])

    def _advance(self, slot: int) -> int:
        """Empty the slots that have begun since the last call, and return the last slot.

        If the clock goes back, the last slot stays, and gets what is added meanwhile.
        """
        first = max(self._last_slot + 1, slot - SLOTS + 1)
        rows = np.arange(first, slot + 1) % SLOTS
        self._counts[rows] = 0
        self._latencies[rows] = 0
        self._last_slot = max(self._last_slot, slot)
        return self._last_slot
