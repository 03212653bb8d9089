"""Counts how the answers of a shadow differ from those of the champion. The counts of several replicas add up."""

import copy
import threading
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final, Self

import numpy as np

from app.models.answers import Answers
from app.models.predictor import Predictor
from app.serving.loading.served_model import ServedModel
from app.serving.measures.answer_bins import MAX_CLASSES, OTHER, SizeBins
from app.serving.measures.tally import BOUNDS_S
from app.serving.requests.row_errors import shortened
from app.serving.schemas import Label
from app.serving.shadow import different_rows
from app.serving.shadow.messages import DifferentRow

LARGEST: Final = 1e100
"""Difference that counts if one of the two predictions is infinite or not a number."""

SIZES: Final = SizeBins()


@dataclass(kw_only=True)
class Comparison:
    """How the answers of a shadow compare with those of one champion."""

    champion: str
    """Number of the champion's version."""
    labels: list[str]
    """See `ShadowFigures.labels`."""
    is_classifier: bool
    since_s: float
    """When the comparison began, in seconds since 1970."""
    confusion: np.ndarray
    """Shape (labels, labels), int64; the first axis is that of the champion."""
    requests: int = 0
    rows: int = 0
    errors: int = 0
    dropped: int = 0
    equal_rows: int = 0
    """Rows with the same prediction."""
    last_error: str = ""
    sum: float = 0.0
    """Sum of the differences of all rows."""
    max: float = 0.0
    sizes: np.ndarray = field(default_factory=lambda: np.zeros(SIZES.size, dtype=np.int64))
    """Rows by difference; see `SizeBins`."""
    latencies: np.ndarray = field(default_factory=lambda: np.zeros(len(BOUNDS_S) + 1, dtype=np.int64))
    """Requests by latency; see `Tally.latencies`."""
    most_different: list[DifferentRow] = field(default_factory=list)
    """In descending order."""


class Comparer:
    """Compares the answers of two versions. One thread adds answers, and the event loop reads the counts.

    Args:
        champion: Number of the champion's version; for a replay, the numbers of the versions that answered.
        labels: The classes of both versions, first those of the champion; empty without classes.
        is_classifier: Whether the versions answer classes.
        has_same_classes: Whether the probabilities of both versions belong to the same classes.
        keeps_rows: Whether rows may be kept and shown.
        now_s: Seconds since 1970.
    """

    def __init__(
        self,
        champion: str,
        *,
        labels: Sequence[Label],
        is_classifier: bool,
        has_same_classes: bool,
        keeps_rows: bool,
        now_s: float,
    ) -> None:
        names = [str(label) for label in labels[:MAX_CLASSES]] + [OTHER] * (len(labels) > MAX_CLASSES)
        self._index = {label: min(index, len(names) - 1) for index, label in enumerate(labels)}
        self._has_same_classes = has_same_classes
        self._keeps_rows = keeps_rows
        self._lock = threading.Lock()
        self._comparison = Comparison(
            champion=champion,
            labels=names,
            is_classifier=is_classifier,
            since_s=now_s,
            confusion=np.zeros((len(names), len(names)), dtype=np.int64),
        )

    @classmethod
    def of_versions(cls, champion: ServedModel, shadow: ServedModel, *, keeps_rows: bool, now_s: float) -> Self:
        """Compare two versions that are loaded. The comparer keeps no reference to them, so they can leave the memory.

        Args:
            champion: The champion.
            shadow: The shadow, with the same columns and the same kind of answers.
            keeps_rows: Whether rows may be kept and shown.
            now_s: Seconds since 1970.
        """
        return cls(
            champion.key[1],
            labels=_labels(champion.predictor, shadow.predictor),
            is_classifier=answers_classes(champion.predictor),
            has_same_classes=champion.predictor.classes == shadow.predictor.classes,
            keeps_rows=keeps_rows,
            now_s=now_s,
        )

    @property
    def champion(self) -> str:
        """Number of the champion's version."""
        return self._comparison.champion

    def add(self, rows: np.ndarray, champion: Answers, shadow: Answers, *, seconds: float | None) -> None:
        """Count the answers for the rows of a request.

        Args:
            rows: Shape (rows, columns).
            champion: What the champion answered.
            shadow: What the shadow answered.
            seconds: How long the shadow took; None if that is not measured.
        """
        is_equal = _is_equal(champion.predictions, shadow.predictions)
        differences = self._differences(champion, shadow, is_equal)
        sizes = SIZES.count(differences)
        total = self._comparison
        # All work is done before the lock: the event loop, and so every request, may wait for the lock.
        classes = (self._classes(champion), self._classes(shadow)) if self._index else None
        rows_before = total.most_different  # no other thread changes it
        most_different = (
            different_rows.choose(rows_before, rows, differences, champion, shadow) if self._keeps_rows else []
        )
        with self._lock:
            total.requests += 1
            total.rows += len(rows)
            if seconds is not None:
                total.latencies[bisect_left(BOUNDS_S, seconds)] += 1
            total.equal_rows += int(is_equal.sum())
            total.sum += float(differences.sum())
            total.max = max(total.max, float(differences.max()))
            total.most_different = most_different
            if isinstance(sizes, int):
                total.sizes[sizes] += 1
            else:
                total.sizes += sizes
            if classes is not None:
                np.add.at(total.confusion, classes, 1)

    def add_error(self, error: Exception) -> None:
        """Count a request that the shadow failed to answer."""
        kind = type(error).__name__
        with self._lock:
            self._comparison.errors += 1
            # The message may contain a value of the row.
            self._comparison.last_error = shortened(f"{kind}: {error}") if self._keeps_rows else kind

    def add_dropped(self) -> None:
        """Count a copy that was dropped."""
        with self._lock:
            self._comparison.dropped += 1

    def snapshot(self) -> Comparison:
        """Copy the counts."""
        with self._lock:
            return copy.deepcopy(self._comparison)

    def _differences(self, champion: Answers, shadow: Answers, is_equal: np.ndarray) -> np.ndarray:
        """Return how much the answers differ; see the message `Differences`. Shape (rows,)."""
        if self._comparison.is_classifier:
            if not self._has_same_classes or champion.probabilities is None or shadow.probabilities is None:
                return np.where(is_equal, 0.0, 1.0)
            sizes = np.abs(champion.probabilities - shadow.probabilities)
        else:
            with np.errstate(invalid="ignore", over="ignore"):  # infinite less infinite
                sizes = np.abs(champion.predictions.astype(np.float64) - shadow.predictions.astype(np.float64))
        largest = sizes.max(axis=1) if sizes.ndim > 1 else sizes
        finite = np.nan_to_num(largest, nan=LARGEST, posinf=LARGEST)
        return np.where(is_equal & ~np.isfinite(largest), 0.0, np.minimum(finite, LARGEST))

    def _classes(self, answers: Answers) -> list[int]:
        return [self._index.get(label, -1) for label in answers.predictions.tolist()]


def incomparable(champion: Predictor, shadow: Predictor) -> str:
    """Say why the answers of two versions cannot be compared; empty if they can."""
    reason = champion.columns.difference_to(shadow.columns)
    if reason:
        return reason
    champion_kind, shadow_kind = (_kind(predictor) for predictor in (champion, shadow))
    if champion_kind != shadow_kind:
        return f"it answers {shadow_kind}, the champion {champion_kind}"
    champion_outputs, shadow_outputs = len(champion.output_classes) or 1, len(shadow.output_classes) or 1
    if champion_outputs != shadow_outputs:
        return f"it has {shadow_outputs} outputs, the champion {champion_outputs}"
    return ""


def merge(comparisons: Sequence[Comparison]) -> Comparison | None:
    """Add the comparisons of several replicas; None without comparisons.

    The replicas may compare with different champions for a moment. The champion of the newest comparison counts.
    """
    if not comparisons:
        return None
    newest = max(comparisons, key=lambda comparison: comparison.since_s)
    return reduce(_add, (other for other in comparisons if other.champion == newest.champion))


def _add(left: Comparison, right: Comparison) -> Comparison:
    rows = sorted(left.most_different + right.most_different, key=lambda row: -row.difference)
    return Comparison(
        champion=left.champion,
        labels=left.labels,
        is_classifier=left.is_classifier,
        since_s=min(left.since_s, right.since_s),
        confusion=left.confusion + right.confusion,
        requests=left.requests + right.requests,
        rows=left.rows + right.rows,
        errors=left.errors + right.errors,
        dropped=left.dropped + right.dropped,
        equal_rows=left.equal_rows + right.equal_rows,
        last_error=left.last_error or right.last_error,
        sum=left.sum + right.sum,
        max=max(left.max, right.max),
        sizes=left.sizes + right.sizes,
        latencies=left.latencies + right.latencies,
        most_different=different_rows.distinct(rows),
    )


def answers_classes(predictor: Predictor) -> bool:
    """Whether a version answers classes, not numbers."""
    return predictor.labels is not None or bool(predictor.output_classes)


def _kind(predictor: Predictor) -> str:
    return "classes" if answers_classes(predictor) else "numbers"


def _labels(champion: Predictor, shadow: Predictor) -> list[bool | str | int | float]:
    """Return the classes of both versions, first those of the champion; empty without classes."""
    if champion.labels is None or shadow.labels is None:
        return []
    return list(dict.fromkeys([*champion.labels.tolist(), *shadow.labels.tolist()]))


def _is_equal(champion: np.ndarray, shadow: np.ndarray) -> np.ndarray:
    """Return for which rows the predictions are equal. Shape (rows,)."""
    is_equal = np.asarray(champion == shadow)
    if champion.dtype.kind == shadow.dtype.kind == "f":
        is_equal |= np.isnan(champion) & np.isnan(shadow)
    return np.asarray(is_equal.all(axis=1)) if is_equal.ndim > 1 else is_equal
