"""How often `manta drift` raises an alarm without any drift, what drift it finds, and how well it estimates a score.

Run: python -m tests.benchmark.drift [--windows 1000] [--power-windows 100]

The result is written to docs/benchmarks/drift.json and drift.md after each setting.
"""

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import stats

from app.drift.judge import ALARM_RATE, judge
from app.records.reference import Reference
from app.training.reference import FeatureSample
from tests.benchmark import real_shifts
from tests.support.drift_data import reference_of, window_of
from tests.support.json_object import JsonObject

FOLDER: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
COLUMNS: Final = 30
WINDOWS_PER_REFERENCE: Final = 20
"""Windows that are judged against one reference, before another reference is drawn."""

HELD_OUT_SHARE: Final = 0.25
MAX_HELD_OUT: Final = 2_000

NO_DRIFT: Final = [(114, 50), (5_000, 200), (114, 1_000), (50_000, 5_000)]
"""Rows of the reference, and of the window."""

SHIFTS: Final = [0.25, 0.5, 1.0]
"""Shifts of the second of 30 columns, in standard deviations."""

POWER_SIZES: Final = [(5_000, 200), (5_000, 500), (5_000, 2_000)]
"""Rows of the reference, and of the window."""

TOWNS: Final = ["a", "b", "c", "d", "e"]
NEW_SHARES: Final = [0.005, 0.01, 0.02, 0.05]
"""Shares of the rows of a window that have a text which no training row has."""

INTRODUCTION: Final = f"""\
`python -m tests.benchmark.drift`: {COLUMNS} columns of normally distributed numbers. A reference and its held-out rows
are drawn anew after {WINDOWS_PER_REFERENCE} windows. All five checks of `manta drift` judge each window: columns, all
columns at once, answers, estimated score, and the realised score with a label for every row."""


def draw_reference(rows: int, generator: np.random.Generator) -> Reference:
    held_out = min(MAX_HELD_OUT, max(30, round(rows * HELD_OUT_SHARE)))
    return reference_of(
        generator.normal(size=(rows, COLUMNS)), generator.normal(size=(held_out, COLUMNS)), generator.random(held_out)
    )


def add_towns(reference: Reference, generator: np.random.Generator) -> Reference:
    """Return the reference with another column, of texts."""
    towns = generator.choice(TOWNS, size=reference.profile.row_count)
    profile, [column] = reference.profile, FeatureSample.of(pd.DataFrame({"town": towns}), source="training").columns
    columns = [*profile.columns, column.model_copy(update={"influence": 1.0})]
    return Reference(
        profile=profile.model_copy(update={"columns": columns}),
        rows=reference.rows.append_column("feature.town", pa.array(towns[: reference.rows.num_rows].tolist())),
        held_out=reference.held_out,
    )


def measure(
    rows: int, window_rows: int, *, windows: int, shift: float = 0.0, new_share: float | None = None
) -> JsonObject:
    """Count alarms in windows of new rows, against references that are drawn anew.

    Args:
        rows: Rows of the reference.
        window_rows: Rows of a window.
        windows: Number of windows.
        shift: Shift of the second column, in standard deviations.
        new_share: Share of a window's rows with a new text in a column of texts; None for no such column.
    """
    generator = np.random.default_rng([rows, window_rows, round(100 * shift), round(1000 * (new_share or 0))])
    shifted = "x1" if new_share is None else "town"
    reasons: Counter[str] = Counter()
    alarms = named = 0
    start_s = time.monotonic()
    for index in range(windows):
        if index % WINDOWS_PER_REFERENCE == 0:
            reference = draw_reference(rows, generator)
            reference = reference if new_share is None else add_towns(reference, generator)
        features = generator.normal(size=(window_rows, COLUMNS))
        features[:, 1] += shift
        window, labels = window_of(features, generator.random(window_rows))
        if new_share is not None:
            towns = np.where(
                generator.random(window_rows) < new_share, "new", generator.choice(TOWNS, size=window_rows)
            )
            window = window.append_column("feature.town", pa.array(towns.tolist()))
        judgement = judge(reference, window, labels)
        alarms += judgement.verdict == "drift"
        named += any(change.name == shifted and change.is_alarming for change in judgement.columns)
        reasons.update({reason.partition(":")[0].split(" (")[0].replace("'", "") for reason in judgement.reasons})
    low, high = stats.binomtest(alarms, windows).proportion_ci()
    return {
        "reference_rows": rows,
        "window_rows": window_rows,
        "shift": shift,
        "new_share": new_share,
        "windows": windows,
        "alarms": alarms,
        "rate": alarms / windows,
        "rate_low": low,
        "rate_high": high,
        "column_named": named / windows,
        "by_score": {name: count for name, count in reasons.items() if "score" in name},
        "by_columns": sum(count for name, count in reasons.items() if name.startswith("column ")),
        "by_all_columns": reasons["a classifier tells the rows from the training rows"],
        "by_answers": reasons["the answers changed"],
        "seconds": round(time.monotonic() - start_s, 1),
    }


def write(results: list[JsonObject], estimates: list[JsonObject]) -> None:
    """Write what was measured so far."""
    content = {"alarms": results, "estimates": estimates}
    (FOLDER / "drift.json").write_text(json.dumps(content, indent=1) + "\n")
    lines = [
        "# Benchmark: drift without drift, and with a shift",
        "",
        INTRODUCTION,
        "",
        "## Without drift",
        "",
        f"At most {ALARM_RATE:.0%} of the windows may raise an alarm.",
        "",
        "| reference | window | windows | alarms | 95 % interval |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {entry['reference_rows']:,} | {entry['window_rows']:,} | {entry['windows']:,} | {entry['rate']:.1%} | "
            f"{entry['rate_low']:.1%} to {entry['rate_high']:.1%} |"
            for entry in results
            if not entry["shift"] and entry["new_share"] is None
        ),
        "",
        "## With a shift of one column of 30",
        "",
        "The model reads no column more than another. *named*: windows in which this column is an alarm.",
        "",
        "| reference | window | shift | windows | alarms | named |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {entry['reference_rows']:,} | {entry['window_rows']:,} | {entry['shift']:g} sd | {entry['windows']:,} "
            f"| {entry['rate']:.0%} | {entry['column_named']:.0%} |"
            for entry in results
            if entry["shift"]
        ),
        "",
        "## With a text that no training row has",
        "",
        f"Another column holds one of {len(TOWNS)} texts; some rows of the window hold a sixth one.",
        "",
        "| reference | window | rows with the new text | windows | alarms | named |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {entry['reference_rows']:,} | {entry['window_rows']:,} | {entry['new_share']:.1%} "
            f"| {entry['windows']:,} | {entry['rate']:.0%} | {entry['column_named']:.0%} |"
            for entry in results
            if entry["new_share"] is not None
        ),
        "",
        *real_shifts.describe(estimates),
    ]
    (FOLDER / "drift.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=1_000)
    parser.add_argument("--power-windows", type=int, default=100)
    arguments = parser.parse_args()
    os.nice(10)
    results: list[JsonObject] = []
    estimates = real_shifts.measure()
    settings: list[JsonObject] = [
        *({"rows": rows, "window_rows": window, "windows": arguments.windows} for rows, window in NO_DRIFT),
        *(
            {"rows": rows, "window_rows": window, "windows": arguments.power_windows, **change}
            for rows, window in POWER_SIZES
            for change in [*({"shift": shift} for shift in SHIFTS), *({"new_share": share} for share in NEW_SHARES)]
        ),
    ]
    for setting in settings:
        results.append(measure(**setting))
        write(results, estimates)
        print(results[-1], flush=True)  # noqa: T201 - the progress of the benchmark


if __name__ == "__main__":
    main()
