"""Compares each column of a window with the reference.

Each test compares two samples, so that its p-value is right for their sizes: a small reference or a small window raises
no alarm by its size, and no threshold is set by hand. All columns are judged at one false discovery rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

from app.records.reference import MAX_CATEGORIES, MAX_TEXT_CHARS, ColumnProfile
from app.records.tables import FEATURE_PREFIX

MIN_EXPECTED: Final = 5.0
"""Minimum expected count of a cell of a contingency table. Rarer categories are counted together."""


@dataclass(frozen=True, kw_only=True)
class ColumnChange:
    """How one column of a window differs from the reference."""

    name: str
    effect: float
    """Largest difference between the two distribution functions for numbers, total variation distance for text: 0 to
    1."""
    shift: float | None
    """Difference of the means in standard deviations of the training rows; None for text."""
    missing: float
    """Share of the window's rows without a value."""
    missing_before: float
    """Share of the training rows without a value."""
    unseen: float | None
    """Share of the window's texts that no training row had. None for numbers, and for a column with more than
    `MAX_CATEGORIES` texts."""
    influence: float | None
    """How much the answers depend on the column; see `ColumnProfile.influence`."""
    p_value: float
    """Chance of a difference at least as large without any drift."""
    is_changed: bool = False
    """Whether the column changed, at the false discovery rate. The influence of the column does not count here."""
    is_alarming: bool = False
    """Whether the column raises an alarm: the decision of `is_changed`, weighted by influence. A column that the model
    ignores never raises an alarm."""


def compare(profile: ColumnProfile, row_count: int, reference: pa.Table, window: pa.Table) -> ColumnChange:
    """Compare one column.

    Args:
        profile: The column in all training rows.
        row_count: Number of all training rows.
        reference: The sample of the training rows.
        window: The rows of the window.
    """
    before, after = values(reference, profile), values(window, profile)
    is_gap_before, is_gap = pd.isna(before), pd.isna(after)
    before, after = before[~is_gap_before], after[~is_gap]
    p_values = []
    if is_gap_before.any() or is_gap.any():
        gaps = [[int(is_gap.sum()), len(after)], [int(is_gap_before.sum()), len(before)]]
        p_values.append(float(stats.fisher_exact(gaps)[1]))
    effect, shift, unseen = 0.0, None, None
    if len(before) and len(after):
        if profile.kind == "text":
            effect, p_value = compare_texts(before, after)
            unseen, p_unseen = _unseen(after, profile, row_count)
            p_values += [p_value] if p_unseen is None else [p_value, p_unseen]
        else:
            result = stats.ks_2samp(before, after, method="asymp")
            effect = float(result.statistic)
            p_values.append(float(result.pvalue))
            spread = profile.std or float(np.std(before)) or 1.0
            shift = float((after.mean() - (profile.mean if profile.mean is not None else before.mean())) / spread)
    return ColumnChange(
        name=profile.name,
        effect=effect,
        shift=shift,
        missing=float(is_gap.mean()) if len(is_gap) else 0.0,
        missing_before=profile.missing,
        unseen=unseen,
        influence=profile.influence,
        p_value=min(1.0, min(p_values, default=1.0) * len(p_values)),
    )


def decide(
    p_values: Sequence[float], influences: Sequence[float | None], *, rate: float
) -> tuple[list[bool], list[bool]]:
    """Decide which columns changed, and which of them are an alarm.

    Args:
        p_values: One for each column.
        influences: Influence of each column; None counts as the mean of the others.
        rate: False discovery rate. Without any drift it is the chance of at least one alarm.

    Returns:
        Which columns changed, by Benjamini and Hochberg (Journal of the Royal Statistical Society B 57, 1995), and
        which are an alarm, by the same with weights of the influences (Genovese, Roeder and Wasserman, Biometrika 93,
        2006).
    """
    if not p_values:
        return [], []
    known = [influence for influence in influences if influence is not None]
    mean = float(np.mean(known)) if known else 1.0
    weights = np.array([mean if influence is None else influence for influence in influences])
    weights = weights / weights.mean() if weights.sum() > 0 else np.zeros(len(weights))
    array = np.asarray(p_values)
    weighted = np.where(weights > 0, np.minimum(1.0, array / np.where(weights > 0, weights, 1.0)), 1.0)
    changed = stats.false_discovery_control(array) <= rate
    alarming = (stats.false_discovery_control(weighted) <= rate) & (weights > 0)
    return changed.tolist(), alarming.tolist()


def values(table: pa.Table, profile: ColumnProfile) -> np.ndarray:
    """Return a column: float64 with NaN, or objects with None for text. A date is a number of seconds since 1970."""
    column = table[FEATURE_PREFIX + profile.name]
    if profile.kind == "number":
        numbers: np.ndarray = column.cast(pa.float64()).to_pandas().to_numpy(dtype=np.float64)
        return numbers
    texts = column.cast(pa.string()).to_pylist()
    if profile.kind == "date":
        dates = pd.to_datetime(pd.Series(texts, dtype=object), format="ISO8601", errors="coerce")
        seconds = dates.astype("datetime64[us]").astype(np.int64).to_numpy() / 1e6
        return np.where(dates.isna().to_numpy(), np.nan, seconds)
    return np.array([None if text is None else text[:MAX_TEXT_CHARS] for text in texts], dtype=object)


def compare_texts(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return the total variation distance, and the p-value of a chi-squared test of the frequent texts."""
    counts = pd.DataFrame(
        {"before": pd.Series(before).value_counts(), "after": pd.Series(after).value_counts()}
    ).fillna(0)
    shares = counts / counts.sum()
    effect = float((shares["before"] - shares["after"]).abs().sum() / 2)
    smaller_share = min(len(before), len(after)) / (len(before) + len(after))
    is_frequent = counts.sum(axis=1) * smaller_share >= MIN_EXPECTED
    frequent, rare = counts[is_frequent], counts[~is_frequent].sum()
    table = frequent.to_numpy()
    if rare.sum() * smaller_share >= MIN_EXPECTED:
        table = np.vstack([table, rare.to_numpy()])
    if len(table) < 2 or (table.sum(axis=0) == 0).any():  # noqa: PLR2004 - a test needs two categories
        return effect, 1.0
    return effect, float(stats.chi2_contingency(table, correction=False).pvalue)


def _unseen(after: np.ndarray, profile: ColumnProfile, row_count: int) -> tuple[float | None, float | None]:
    """Return the share of texts that no training row had, and the p-value of so many.

    Without drift a new row has an unseen text about as often as a training row has a text that no other row has (Good,
    Biometrika 40, 1953).
    """
    if profile.category_count > MAX_CATEGORIES:
        return None, None
    unseen = sum(text not in profile.categories for text in after)
    single = sum(count == 1 for count in profile.categories.values())
    training_texts = max(single, round(row_count * (1 - profile.missing)))
    table = [[unseen, len(after) - unseen], [single, training_texts - single]]
    return unseen / len(after), float(stats.fisher_exact(table, alternative="greater")[1])
