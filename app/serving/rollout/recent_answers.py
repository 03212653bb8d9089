"""The newest answers of one replica in a rollout, kept in memory until labels arrive that may contradict them.

A label usually arrives at another replica than its request did, so every replica gets all labels. A label of an answer
that is no longer in memory counts for neither version.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from app.serving.rollout.counts import Assignment

MAX_BYTES: Final = 32 * 1024**2
"""Bytes of all answers that one replica remembers, roughly: those of 60,000 requests of one row."""

ENTRY_BYTES: Final = 500
"""Bytes of one request beside its answers, roughly."""

Value: TypeAlias = bool | int | float | str


class TrueLabel(NamedTuple):
    """The true value of one row that was predicted."""

    request_id: str
    row: int
    """Index of the row in its request, from 0."""
    label: Value


class RecentAnswers:
    """Remembers which version answered a request, and how.

    Args:
        max_bytes: Bytes of all answers, roughly. The oldest ones are forgotten.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._size_bytes = 0
        self._requests: OrderedDict[str, tuple[Assignment, np.ndarray]] = OrderedDict()

    def add(self, request_id: str, assignment: Assignment, classes: np.ndarray) -> None:
        """Remember the answer to a request. A later request with the same id takes its place.

        Args:
            request_id: See `app.serving.prediction_log.request_ids`.
            assignment: The version that answered.
            classes: Shape (rows,): the predicted class of each row.
        """
        self._forget(request_id)
        self._requests[request_id] = (assignment, classes)
        self._size_bytes += ENTRY_BYTES + classes.nbytes
        while self._size_bytes > self._max_bytes:
            self._forget(next(iter(self._requests)))

    def contradicted(self, labels: Sequence[TrueLabel]) -> list[Assignment]:
        """Return the assignment of each request with an answer that a label contradicts, and forget the request.

        The rows of one request are not independent of each other. So a request counts once, however many of its rows
        are wrong and however often their labels arrive.
        """
        assignments = []
        for request_id, row, label in labels:
            entry = self._requests.get(request_id)
            if entry is not None and row < len(entry[1]) and _differ(entry[1][row], label):
                self._forget(request_id)
                assignments.append(entry[0])
        return assignments

    def _forget(self, request_id: str) -> None:
        entry = self._requests.pop(request_id, None)
        if entry is not None:
            self._size_bytes -= ENTRY_BYTES + entry[1].nbytes


def _differ(answer: object, label: Value) -> bool:
    """Whether a label is another class than the answer. A label of another type than the classes does not count."""
    value = answer.item() if isinstance(answer, np.generic) else answer
    return isinstance(value, str) == isinstance(label, str) and value != label
