"""What one version did in one role on one replica. All counts grow from the start of the replica.

A request pays no more than adding to a tally, which takes about a microsecond. `app.serving.measures.exporter` reads
the tallies once a second, and `app.serving.measures.fleet_measures` adds those of all replicas.
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from app.serving.measures.answer_bins import AnswerBins

SHORTEST_S: Final = 16e-6
"""Upper bound of the first bin of the latencies, in seconds."""

BINS_OF_OCTAVE: Final = 4
"""Bins between a latency and its double: a quantile is known to 19 %."""

OCTAVES: Final = 22
"""From 16 microseconds to 67 seconds."""

BOUNDS_S: Final = tuple(SHORTEST_S * 2 ** (index / BINS_OF_OCTAVE) for index in range(OCTAVES * BINS_OF_OCTAVE + 1))
"""Upper bounds of the bins, in seconds. One more bin has no bound."""


class Role(NamedTuple):
    """Which version, in which role."""

    model: str
    """Name of the registered model."""
    version: str
    """Number of the version; `none` for requests that failed before a version was known."""
    role: str
    """`champion`, `challenger`, `shadow`, or `pinned`: a version that requests name by its number."""


NO_VERSION: Final = "none"


class Answered(NamedTuple):
    """What one prediction did."""

    rows: int
    seconds: float
    """Time to predict the rows and to write the answer, without the wait for a thread."""
    answers: np.ndarray | int | None
    """See `AnswerBins.count`; None if the answers are not counted."""


@dataclass(frozen=True, kw_only=True)
class TallySnapshot:
    """The counts of a tally, for another process."""

    role: Role
    requests: int
    rows: int
    client_errors: int
    errors: int
    seconds: float
    latencies: np.ndarray
    """Shape (len(BOUNDS_S) + 1,), int64."""
    answers: np.ndarray | None
    bins: AnswerBins | None


class Tally:
    """Counts what one version does in one role.

    Args:
        role: The version and its role.
        bins: Counts the answers; None if they are not counted.
    """

    def __init__(self, role: Role, bins: AnswerBins | None) -> None:
        self.role = role
        self.bins = bins
        self.requests = 0
        """Requests that were answered."""
        self.rows = 0
        self.client_errors = 0
        """Requests that the client has to correct, such as rows that the model does not accept."""
        self.errors = 0
        """Requests that failed for a reason of the service: an exception, no version, an overload."""
        self.seconds = 0.0
        """Sum of all latencies."""
        self.latencies = np.zeros(len(BOUNDS_S) + 1, dtype=np.int64)
        """Requests by latency: bin i counts those of at most `BOUNDS_S[i]` that are in no bin before."""
        self.answers = None if bins is None else np.zeros(bins.size, dtype=np.int64)
        """Rows by answer; see `AnswerBins`."""

    def add(self, answered: Answered) -> None:
        """Count a request that was answered."""
        self.requests += 1
        self.rows += answered.rows
        self.seconds += answered.seconds
        self.latencies[bisect_left(BOUNDS_S, answered.seconds)] += 1
        if self.answers is None or answered.answers is None:
            return
        if isinstance(answered.answers, int):
            self.answers[answered.answers] += 1
        else:
            self.answers += answered.answers

    def add_error(self, *, is_of_client: bool) -> None:
        """Count a request that failed."""
        if is_of_client:
            self.client_errors += 1
        else:
            self.errors += 1

    def snapshot(self) -> TallySnapshot:
        """Copy the counts."""
        return TallySnapshot(
            role=self.role,
            requests=self.requests,
            rows=self.rows,
            client_errors=self.client_errors,
            errors=self.errors,
            seconds=self.seconds,
            latencies=self.latencies.copy(),
            answers=None if self.answers is None else self.answers.copy(),
            bins=self.bins,
        )


def quantile_s(latencies: np.ndarray, quantile: float) -> float | None:
    """Return the upper bound of the bin that holds a quantile of the latencies; None without requests.

    Args:
        latencies: Shape (len(BOUNDS_S) + 1,): requests by bin.
        quantile: Between 0 and 1.
    """
    return quantiles_s(latencies[None], quantile)[0]


def quantiles_s(latencies: np.ndarray, quantile: float) -> list[float | None]:
    """Return what `quantile_s` returns, for each of several periods.

    Args:
        latencies: Shape (periods, len(BOUNDS_S) + 1): requests by bin.
        quantile: Between 0 and 1.
    """
    cumulative = latencies.cumsum(axis=1)
    totals = cumulative[:, -1]
    indices = (cumulative < np.ceil(quantile * totals)[:, None]).sum(axis=1)
    return [
        BOUNDS_S[min(index, len(BOUNDS_S) - 1)] if total else None
        for index, total in zip(indices.tolist(), totals.tolist(), strict=True)
    ]
