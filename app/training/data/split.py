"""The held-out test set.

`app.training.data.sources` reads the rows. `app.training.data.folds` divides the training rows for a search.
`app.training.evaluation.promotion_gate` judges models on the held-out rows.
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from app.errors import DataError
from app.training.data.dataset import Dataset, Rows, Task
from app.training.data.row_hashes import hash_rows, hash_values, mix

MIN_TRAINING_ROWS: Final = 2
"""Smallest number of training rows, and of training rows of a class."""

MIN_TEST_ROWS: Final = 1
"""Smallest number of test rows, and of test rows of a class."""

CLASSES_SHOWN: Final = 20
"""Maximum number of classes that a message lists."""

_TIME_RULE: Final = re.compile(r"rows after (?P<cutoff>\S+) in column (?P<column>.+)", re.DOTALL)
"""`Split.description` of a split by time."""

log = logging.getLogger("manta.train")


@dataclass(frozen=True, kw_only=True)
class Split:
    """The training rows and the test rows of a data set; no row is in both."""

    train: Rows
    test: Rows
    description: str
    """The rule that holds the test rows out: test size, seed and columns. See `was_held_out`."""


def split_dataset(dataset: Dataset, *, task: Task, test_size: float, seed: int) -> Split:
    """Hold out test rows, so that a row never moves from the training rows to the test rows when rows are added.

    A row is a test row if the hash of its content is below `test_size`, as a share of the largest hash. So equal rows
    are on the same side, and every class has about the same share of test rows. A class without a test row holds out
    its row with the smallest hash; that row can become a training row when rows are added.

    With groups, the hash of the group decides for all rows of the group. With times, the newest rows are held out.

    Args:
        dataset: The data set to split.
        task: Whether the target holds classes, each of which needs test rows.
        test_size: Share of the rows to hold out, above 0 and below 1.
        seed: The same seed holds out the same rows. It does not matter for times.

    Raises:
        DataError: One of the sides has too few rows, or no row of some class.
    """
    hashes = hash_rows(_whole_table(dataset.rows))
    order = np.argsort(mix(hashes, seed), kind="stable")
    rows, hashes = dataset.rows.take(order), hashes[order]
    if rows.times is not None:
        rows = rows.take(np.argsort(rows.times.to_numpy(), kind="stable"))
        is_held_out, description = _hold_out_newest(rows.times, test_size, dataset.source)
    elif rows.groups is not None:
        is_held_out = _is_below(mix(hash_values(rows.groups), seed), test_size, np.zeros(len(rows)))
        description = f"hash of the group {rows.groups.name!r} below {test_size:g}, seed {seed}"
    else:
        classes = rows.target if task == "classification" else np.zeros(len(rows))
        is_held_out = _is_below(mix(hashes, seed), test_size, classes)
        columns = hashlib.sha256("\x1f".join(_whole_table(rows).columns).encode()).hexdigest()[:8]
        description = f"hash of the row below {test_size:g}, seed {seed}, columns {columns}"
    split = Split(train=rows.take(~is_held_out), test=rows.take(is_held_out), description=description)
    _check_sides(split, dataset, task)
    return split


def was_held_out(description: str, earlier_description: str) -> bool:
    """Whether a model of an earlier split was trained on none of the test rows of another split.

    Args:
        description: `Split.description` of the split with the test rows.
        earlier_description: `Split.description` of the split whose training rows the model was fitted on.
    """
    rules = [_TIME_RULE.fullmatch(text) for text in (description, earlier_description)]
    if description == earlier_description or None in rules:
        return description == earlier_description
    (cutoff, column), (earlier_cutoff, earlier_column) = ((rule["cutoff"], rule["column"]) for rule in rules if rule)
    try:
        is_later = float(cutoff) >= float(earlier_cutoff)
    except ValueError:
        is_later = cutoff >= earlier_cutoff  # ISO 8601 sorts by time
    return is_later and column == earlier_column


def has_date_limit(description: str) -> bool:
    """Whether a split holds out the rows after a date, not after a number.

    Args:
        description: `Split.description`.
    """
    rule = _TIME_RULE.fullmatch(description)
    if rule is None:
        return False
    try:
        float(rule["cutoff"])
    except ValueError:
        return True
    return False


def _hold_out_newest(times: pd.Series, test_size: float, source: str) -> tuple[np.ndarray, str]:
    """Return which rows are newer than a share of the rows, and the rule. Rows of one time are on the same side.

    Args:
        times: Shape (rows,), in ascending order.
        test_size: Largest share of the rows to hold out.
        source: Where the rows come from.

    Raises:
        DataError: The newest time has more rows than that share, so that no test row would be left.
    """
    cutoff = times.iloc[len(times) - 1 - int(len(times) * test_size)]
    is_held_out: np.ndarray = (times > cutoff).to_numpy()
    if not is_held_out.any():
        raise DataError(
            f"{source} has too many rows with the newest time {times.iloc[-1]} in column {times.name!r} to hold out "
            f"{test_size:g} of the rows by time.",
            next_step="Give a larger --test-size, or a column with finer times as --time.",
        )
    text = cutoff.isoformat(timespec="microseconds") if isinstance(cutoff, pd.Timestamp) else repr(float(cutoff))
    return is_held_out, f"rows after {text} in column {times.name}"


def _is_below(hashes: np.ndarray, share: float, classes: np.ndarray | pd.Series) -> np.ndarray:
    """Return which rows have a hash below a share of the largest hash; for a class without one, its smallest hash."""
    classes = np.asarray(classes)
    is_below = pd.Series(hashes < np.uint64(share * 2.0**64))
    has_row_below = is_below.groupby(classes).transform("any")
    smallest = pd.Series(hashes).groupby(classes).transform("min")
    mask: np.ndarray = (is_below | (~has_row_below & (smallest == hashes))).to_numpy()
    return mask


def _whole_table(rows: Rows) -> pd.DataFrame:
    """Return the features and the target as one table; the target has a name that no column can have twice."""
    return pd.concat([rows.features, rows.target.rename(f"target {rows.target.name}")], axis="columns")


def _check_sides(split: Split, dataset: Dataset, task: Task) -> None:
    if len(split.train) < MIN_TRAINING_ROWS or len(split.test) < MIN_TEST_ROWS:
        raise DataError(
            f"{dataset.source} has {len(split.train)} training rows and {len(split.test)} test rows.",
            allowed=f"at least {MIN_TRAINING_ROWS} training rows and {MIN_TEST_ROWS} test row",
            next_step="Add rows, or use another --test-size or --seed.",
        )
    if task == "regression":
        return
    counts = pd.DataFrame(
        {name: rows.target.value_counts() for name, rows in (("training", split.train), ("test", split.test))}
    )
    counts = counts.fillna(0).astype(int)
    is_small = (counts["training"] < MIN_TRAINING_ROWS) | (counts["test"] < MIN_TEST_ROWS)
    if not is_small.any():
        return
    listed = ", ".join(
        f"{label!r} ({row.training} training rows, {row.test} test rows)"
        for label, row in counts[is_small].head(CLASSES_SHOWN).iterrows()
    )
    is_by_row = dataset.rows.groups is None and dataset.rows.times is None
    if is_by_row or min((counts["training"] > 0).sum(), (counts["test"] > 0).sum()) < 2:  # noqa: PLR2004 - classes
        raise DataError(
            f"{dataset.source} has classes with too few rows on one side of the split: {listed}.",
            allowed=f"at least {MIN_TRAINING_ROWS} training rows and {MIN_TEST_ROWS} test row per class",
            next_step="Add rows, merge or drop these classes, or use another --seed or --test-size.",
        )
    log.warning("some classes have few or no rows on one side of the split: %s", listed)
