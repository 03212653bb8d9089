"""The files that a benchmark writes: its figures as JSON, a page in Markdown, and plots."""

import contextlib
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
import psutil
from matplotlib.figure import Figure
from scipy import stats

from tests.support.json_object import JsonObject

FOLDER: Final = Path(__file__).parents[2] / "docs" / "benchmarks"

Curve = Mapping[float, float]
"""y by x."""


def read_machine(*packages: str) -> JsonObject:
    """Return the date, the machine and the versions of a benchmark run."""
    model = [line for line in _cpu_info() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": model[0].partition(":")[2].strip() if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "load_at_start": round(os.getloadavg()[0], 1),
    }


def describe_machine(machine: JsonObject) -> str:
    """Describe the result of `read_machine` in a sentence."""
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}, {packages}. Load of the machine at the start: {machine['load_at_start']}."
    )


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median over rounds of the ratio of two figures of the same round."""
    return round(statistics.median(a / b for a, b in zip(numerators, denominators, strict=True)), 2)


def mean_interval(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """Return the geometric mean over rounds of the ratio of two figures of the same round, with its 95 % interval.

    The interval is that of Student's t for the logarithms.
    """
    logarithms = np.log(np.divide(numerators, denominators))
    mean = logarithms.mean()
    low, high = stats.t.interval(0.95, len(logarithms) - 1, mean, stats.sem(logarithms))
    return f"{np.exp(mean):.3f} ({np.exp(low):.3f} to {np.exp(high):.3f})"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a table in Markdown."""
    lines = [list(header), ["---"] * len(header), *[list(map(str, row)) for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_report(name: str, figures: JsonObject, page: str, panels: Mapping[str, Mapping[str, Curve]]) -> None:
    """Write `NAME.json`, `NAME.md`, and, if there are panels, `NAME.png` and `NAME.svg`.

    Args:
        name: Name of the files, without the ending.
        figures: Content of the JSON file.
        page: Content of the Markdown file.
        panels: For each panel, titled "y over x", its curves by name. Both axes are logarithmic.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")
    (FOLDER / f"{name}.md").write_text(page)
    if not panels:
        return
    mpl.rcParams["svg.hashsalt"] = name  # equal figures give an equal file
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, curve in curves.items():
            axes.plot(list(curve), list(curve.values()), marker="o", label=label)
        y_label, _, x_label = title.partition(" over ")
        axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend()
    for ending in ("png", "svg"):
        figure.savefig(FOLDER / f"{name}.{ending}", metadata={"Date": None} if ending == "svg" else None)


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def processor_seconds(first: psutil.Process) -> float:
    """Return the processor time of a process and its descendants, with that of descendants that have ended."""
    total_s = 0.0
    for process in (first, *first.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            total_s += sum(process.cpu_times()[:4])
    return total_s
