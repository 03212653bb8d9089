"""Compares all columns of a window with the reference at once, by a classifier that separates the two.

A change of the relation between columns shows in no single column. The classifier is fitted on half of the rows and
judged on the other half, so that the p-value of its scores is right at every size (Lopez-Paz and Oquab, ICLR 2017).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from scipy import stats
from sklearn.ensemble import ExtraTreesClassifier

from app.drift.columns import values
from app.records.reference import ColumnProfile

MAX_ROWS: Final = 1_000
"""Maximum number of rows of each side."""

TREES: Final = 30
MAX_DEPTH: Final = 6


@dataclass(frozen=True, kw_only=True)
class Separation:
    """How well a classifier separates the window from the reference."""

    auc: float
    """Area under the classifier's ROC curve, on rows that the classifier was not fitted on; 0.5 for a guess."""
    p_value: float
    """Chance of an AUC at least as large without any drift."""
    columns: dict[str, float]
    """Importance of each column for the classifier, 0 to 1; the ten largest, the largest first."""


def separate(profiles: Sequence[ColumnProfile], reference: pa.Table, window: pa.Table) -> Separation:
    """Fit a classifier that separates the window from the reference, and judge the classifier.

    Args:
        profiles: The columns that both tables have; at least one.
        reference: The sample of the training rows.
        window: The rows of the window.
    """
    generator = np.random.default_rng(0)
    sides = [_sample(table, generator) for table in (reference, window)]
    codes = [_encode(profile, *(values(side, profile) for side in sides)) for profile in profiles]
    features = np.column_stack(codes)
    target = np.repeat([0, 1], [side.num_rows for side in sides])
    is_fitted = np.zeros(len(target), dtype=bool)
    for side in (0, 1):
        positions = generator.permutation(np.flatnonzero(target == side))
        is_fitted[positions[: len(positions) // 2]] = True
    classifier = ExtraTreesClassifier(
        TREES, max_depth=MAX_DEPTH, min_samples_leaf=5, class_weight="balanced", random_state=0
    ).fit(features[is_fitted], target[is_fitted])
    scores, labels = classifier.predict_proba(features[~is_fitted])[:, 1], target[~is_fitted]
    result = stats.mannwhitneyu(scores[labels == 1], scores[labels == 0], alternative="greater", method="asymptotic")
    importances = classifier.feature_importances_  # a property that is computed from all trees
    order = np.argsort(-importances)[:10]
    return Separation(
        auc=float(result.statistic / ((labels == 1).sum() * (labels == 0).sum())),
        p_value=float(result.pvalue),
        columns={profiles[index].name: float(importances[index]) for index in order},
    )


def _sample(table: pa.Table, generator: np.random.Generator) -> pa.Table:
    if table.num_rows <= MAX_ROWS:
        return table
    return table.take(np.sort(generator.choice(table.num_rows, MAX_ROWS, replace=False)))


def _encode(profile: ColumnProfile, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the values of both tables as numbers: the rank of a text in the profile, and a low number for a gap."""
    both = np.concatenate([before, after])
    if profile.kind == "text":
        ranks = {text: index for index, text in enumerate(profile.categories)}
        return np.array([-1 if text is None else ranks.get(text, len(ranks)) for text in both], dtype=np.float64)
    finite = both[np.isfinite(both)]
    gap = (finite.min() if len(finite) else 0.0) - 1.0
    codes: np.ndarray = np.where(np.isfinite(both), both, gap)
    return codes
