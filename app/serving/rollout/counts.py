"""What both versions of a rollout did, step by step: events that the test judges, and figures that people see."""

from dataclasses import dataclass
from functools import reduce
from typing import Final, NamedTuple, Self

import numpy as np

from app.serving.rollout.decision import Kind, StepEvents
from app.serving.rollout.policy import Policy

KINDS: Final = tuple(Kind)

CHAMPION, CHALLENGER = 0, 1
"""Indices of the sides."""

REQUESTS, ROWS = len(KINDS), len(KINDS) + 1
"""Indices of the figures after those of the kinds of bad events."""

BUCKETS: Final = 10_000
"""Keys of a sticky rollout are hashed to as many buckets. The first ones of them belong to the challenger."""

NEVER: Final = 255
"""In place of a step: a bucket without a bad event."""


class Assignment(NamedTuple):
    """Which version answers a request, and in which step of the rollout."""

    side: int
    """`CHAMPION` or `CHALLENGER`."""
    bucket: int | None
    """Bucket of the request's key; None if chance has assigned the request."""
    step: int


@dataclass(frozen=True)
class RolloutCounts:
    """The counts of one replica, or of all replicas.

    Requests of one key are not independent of each other. The test therefore takes each bucket of keys once for each
    kind: with its first bad event, at the step of that event.
    """

    figures: np.ndarray
    """Shape (steps, sides, kinds + 2), int64: bad requests by kind, requests, and rows."""
    events: np.ndarray
    """Shape (steps, sides, kinds), int64: bad requests that chance has assigned."""
    first_bad: np.ndarray
    """Shape (kinds, BUCKETS), uint8: step of the first bad request of each bucket, or `NEVER`."""

    @classmethod
    def empty(cls, policy: Policy) -> Self:
        """Return counts of nothing."""
        steps = len(policy.steps)
        return cls(
            np.zeros((steps, 2, len(KINDS) + 2), dtype=np.int64),
            np.zeros((steps, 2, len(KINDS)), dtype=np.int64),
            np.full((len(KINDS), BUCKETS if policy.key else 0), NEVER, dtype=np.uint8),
        )

    def add_request(self, step: int, side: int, rows: int) -> None:
        """Count a request that a version answered, or failed to answer."""
        self.figures[step, side, REQUESTS] += 1
        self.figures[step, side, ROWS] += rows

    def add_bad(self, step: int, side: int, kind: Kind, bucket: int | None) -> None:
        """Count a bad request.

        Args:
            step: Index of the step.
            side: `CHAMPION` or `CHALLENGER`.
            kind: What was bad.
            bucket: Bucket of the request's key; None if chance has assigned the request.
        """
        index = KINDS.index(kind)
        self.figures[step, side, index] += 1
        if bucket is None:
            self.events[step, side, index] += 1
        else:
            self.first_bad[index, bucket] = min(step, self.first_bad[index, bucket])

    def steps(self, policy: Policy) -> list[StepEvents]:
        """Return the events for the test."""
        return [
            StepEvents(
                share=policy.share(step),
                bad={kind: self._events_of(step, index, policy.share(step)) for index, kind in enumerate(KINDS)},
            )
            for step in range(len(self.events))
        ]

    def _events_of(self, step: int, index: int, share: float) -> tuple[int, int]:
        is_bad = self.first_bad[index] == step
        of_challenger = int(is_bad[: bucket_limit(share)].sum()) + int(self.events[step, CHALLENGER, index])
        return of_challenger, int(is_bad.sum()) + int(self.events[step, :, index].sum())


def bucket_limit(share: float) -> int:
    """Return how many buckets belong to the challenger."""
    return round(share * BUCKETS)


def merge(counts: list[RolloutCounts]) -> RolloutCounts:
    """Add the counts of several replicas; at least one."""
    return reduce(
        lambda left, right: RolloutCounts(
            left.figures + right.figures, left.events + right.events, np.minimum(left.first_bad, right.first_bad)
        ),
        counts,
    )
