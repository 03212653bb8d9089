"""What every benchmark writes beside its figures, and the files that it writes: JSON, a table, curves."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

FOLDER: Final = Path(__file__).parents[2] / "docs" / "benchmarks"

Curve = Mapping[float, float]
"""Values of y by x."""


def machine(*packages: str) -> dict[str, Any]:
    """The machine, the versions and the date of a run."""
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


def described(given: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    packages = ", ".join(f"{name} {number}" for name, number in given["packages"].items())
    return (
        f"{given['date']}, {given['cpu']}, {given['cores']} cores, {given['system']}, Python {given['python']}, "
        f"{packages}. Load of the machine at the start: {given['load_at_start']}."
    )


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over rounds of one figure by another, both of the same round."""
    return round(statistics.median(a / b for a, b in zip(slow, fast, strict=True)), 2)


def table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    marked = [list(head), ["---"] * len(head), *[list(map(str, line)) for line in lines]]
    return "\n".join("| " + " | ".join(line) + " |" for line in marked)


def write(name: str, report: Mapping[str, Any], text: str, curves: Mapping[str, Mapping[str, Curve]]) -> None:
    """Write `NAME.json`, `NAME.md`, `NAME.png` and `NAME.svg`.

    Args:
        name: Of the files.
        report: All figures.
        text: The page, which shows the curves.
        curves: For each panel, titled "y over x", its curves by name; both axes are logarithmic. Without
            a panel there is no picture.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    (FOLDER / f"{name}.md").write_text(text)
    if not curves:
        return
    mpl.rcParams["svg.hashsalt"] = name  # the same figures make the same file
    figure = Figure(figsize=(5 * len(curves), 4), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        for label, curve in lines.items():
            axes.plot(list(curve), list(curve.values()), marker="o", label=label)
        what, _, over = title.partition(" over ")
        axes.set(xscale="log", yscale="log", xlabel=over, ylabel=what)
        axes.grid(visible=True, which="both", alpha=0.2)
        axes.legend()
    for ending in ("png", "svg"):
        figure.savefig(FOLDER / f"{name}.{ending}", metadata={"Date": None} if ending == "svg" else None)


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
