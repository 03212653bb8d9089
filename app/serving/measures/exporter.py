"""Writes the tallies of a replica to Ray's exporter for Prometheus, once a second.

Ray adds the prefix `ray_`, the suffix `_total` to counters, and tags for application, deployment and replica. A replica
never has more than `MAX_SERIES_GROUPS` groups of series, however many models and versions it serves.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from app import names
from app.serving.measures.answer_bins import OTHER, ClassBins
from app.serving.measures.measures import Measures
from app.serving.measures.tally import BINS_OF_OCTAVE, BOUNDS_S, Role, Tally

log = logging.getLogger(names.SERVING_LOG)

FLUSH_INTERVAL_S: Final = 1.0

FLUSHES_OF_REFRESH: Final = 10
"""Flushes after which the latencies are exported again, even without a request. Ray forgets a gauge that is not set
for 20 s, and Prometheus would miss the requests before the gauge came back."""

MAX_SERIES_GROUPS: Final = 50
"""Combinations of model, version and role with series of their own. Later ones share the model `other`."""

BUCKET_INDICES: Final = tuple(range(2 * BINS_OF_OCTAVE, len(BOUNDS_S), 2 * BINS_OF_OCTAVE))
"""Bins whose bounds are the buckets of the exported histogram: 64 µs, and four times as much each time."""


class CounterMetric(Protocol):
    """A counter of `ray.serve.metrics`."""

    def inc(self, value: float, tags: dict[str, str]) -> None:
        """Add a number to a series."""


class GaugeMetric(Protocol):
    """A gauge of `ray.serve.metrics`."""

    def set(self, value: float, tags: dict[str, str]) -> None:
        """Set a series to a number."""


class Exporter(Protocol):
    """Exports metrics of a replica."""

    async def run_forever(self) -> None:
        """Export until cancelled."""


class MeasuresExporter:
    """Exports the measures of a replica. A series exists from the first flush that has a count for it.

    Args:
        measures: The tallies of the replica.
        counter: Creates a counter from its name, description and keys. Importing Ray takes seconds, so the caller does.
        gauge: Creates a gauge.
    """

    def __init__(
        self, measures: Measures, *, counter: Callable[..., CounterMetric], gauge: Callable[..., GaugeMetric]
    ) -> None:
        self._measures = measures
        self._requests = counter(
            "manta_predictions",
            description="Prediction requests by outcome: answered, client_error or error.",
            tag_keys=_keys("outcome"),
        )
        self._rows = counter("manta_prediction_rows", description="Rows that were predicted.", tag_keys=_keys())
        self._answers = counter(
            "manta_prediction_answers", description="Rows by predicted class.", tag_keys=_keys("answer")
        )
        # Ray's histogram takes one call for each request. Gauges take the counts of a second at once.
        self._buckets = gauge(
            "manta_prediction_seconds_bucket",
            description="Requests that took at most `le` seconds to predict and to write.",
            tag_keys=_keys("le"),
        )
        self._seconds = gauge("manta_prediction_seconds_sum", description="Seconds of all requests.", tag_keys=_keys())
        self._count = gauge("manta_prediction_seconds_count", description="Requests with a latency.", tag_keys=_keys())
        self._exported: WeakKeyDictionary[Tally, Tally] = WeakKeyDictionary()
        """What was exported last of each tally: counters take the difference."""
        self._named: set[Role] = set()
        """The tallies with series of their own."""
        self._totals: dict[Role, tuple[np.ndarray, float]] = {}
        """Latencies and seconds of each group of series."""
        self._flushes = 0

    async def run_forever(self) -> None:
        """Flush once a second until cancelled. A failure is logged."""
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            try:
                self.flush()
            except Exception:  # a failure to export must not end the export
                log.exception("the measures cannot be exported")

    def flush(self) -> None:
        """Export what was counted since the last flush."""
        for tally in list(self._measures.all()):
            last = self._exported.get(tally)
            if last is None:
                last = self._exported[tally] = Tally(tally.role, tally.bins)
            if _size(tally) != _size(last):
                self._export(tally, last)
        self._flushes += 1
        if self._flushes % FLUSHES_OF_REFRESH == 0:
            for group, (latencies, seconds) in self._totals.items():
                self._export_latencies(latencies, seconds, group._asdict())

    def _export(self, tally: Tally, last: Tally) -> None:
        group = self._group(tally.role)
        tags = group._asdict()
        outcomes = {
            "answered": tally.requests - last.requests,
            "client_error": tally.client_errors - last.client_errors,
            "error": tally.errors - last.errors,
        }
        for outcome, count in outcomes.items():
            if count > 0:
                self._requests.inc(count, tags=tags | {"outcome": outcome})
        if tally.rows > last.rows:
            self._rows.inc(tally.rows - last.rows, tags=tags)
        if tally.requests > last.requests:
            latencies, seconds = self._totals.get(group, (np.zeros_like(tally.latencies), 0.0))
            latencies = latencies + tally.latencies - last.latencies
            seconds += tally.seconds - last.seconds
            self._totals[group] = (latencies, seconds)
            self._export_latencies(latencies, seconds, tags)
        if isinstance(tally.bins, ClassBins) and group == tally.role:
            self._export_answers(tally, last, tags)
        last.requests, last.rows, last.seconds = tally.requests, tally.rows, tally.seconds
        last.client_errors, last.errors = tally.client_errors, tally.errors
        last.latencies = tally.latencies.copy()

    def _export_latencies(self, latencies: np.ndarray, seconds: float, tags: dict[str, str]) -> None:
        cumulative = np.cumsum(latencies)
        for index in BUCKET_INDICES:
            self._buckets.set(int(cumulative[index]), tags=tags | {"le": f"{BOUNDS_S[index]:.6g}"})
        self._buckets.set(int(cumulative[-1]), tags=tags | {"le": "+Inf"})
        self._seconds.set(seconds, tags=tags)
        self._count.set(int(cumulative[-1]), tags=tags)

    def _export_answers(self, tally: Tally, last: Tally, tags: dict[str, str]) -> None:
        if not isinstance(tally.bins, ClassBins) or tally.answers is None or last.answers is None:
            return
        grown = tally.answers - last.answers
        for name, count in zip(tally.bins.names, grown.tolist(), strict=True):
            if count > 0:
                self._answers.inc(count, tags=tags | {"answer": name})
        last.answers = tally.answers.copy()

    def _group(self, role: Role) -> Role:
        """Return the labels of a tally's series."""
        if role in self._named or len(self._named) < MAX_SERIES_GROUPS:
            self._named.add(role)
            return role
        return Role(OTHER, OTHER, role.role)


def _keys(*keys: str) -> tuple[str, ...]:
    return (*Role._fields, *keys)


def _size(tally: Tally) -> int:
    return tally.requests + tally.client_errors + tally.errors
