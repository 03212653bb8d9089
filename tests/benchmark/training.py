"""How long a forest takes in slices over Ray, against scikit-learn alone: `python -m tests.benchmark.training`.

In each round every contender fits the same rows with the same seed, one after the other, and every forest must be the
first one bit for bit. Only ratios within a round count; what is reported are their medians. Memory is measured in a
round of its own, as the peak of what the whole family of processes holds, shared pages counted once.
"""

import argparse
import json
import logging
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import psutil
import ray
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from app.training import distributed_forest, provenance
from app.training.data import sources
from app.training.ray_cluster import RayWorkers

FOLDER: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
OBJECT_STORE_BYTES: Final = 2 * 1024**3
SAMPLE_S: Final = 0.1
SEED: Final = 42
HEAD: Final = (
    "| rows | trees | n_jobs=1 | {lanes} | slices | slices against n_jobs=1 | slices against {lanes} "
    "| peak MiB: n_jobs=1, {lanes}, slices |"
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Rows, trees, and how often every contender fits them."""

    rows: int
    trees: int
    rounds: int


SIZES: Final = (
    Size(rows=5_000, trees=100, rounds=5),
    Size(rows=100_000, trees=24, rounds=3),
    Size(rows=1_000_000, trees=4, rounds=2),
)
QUICK: Final = (Size(rows=2_000, trees=20, rounds=1), Size(rows=5_000, trees=20, rounds=1))


def main() -> None:
    """Measure every size, and write the JSON and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, printed and not written")
    is_quick = parser.parse_args().quick
    cores = len(os.sched_getaffinity(0))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=cores,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.WARNING,
        _node_ip_address="127.0.0.1",
    )
    workers = RayWorkers(total_cpus=cores, cpus_per_task=1)
    measured = [_measure(size, workers) for size in (QUICK if is_quick else SIZES)]
    report = {
        "cores": cores,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("numpy", "ray", "scikit-learn")},
        "load_at_end": os.getloadavg()[0],
        "sizes": measured,
    }
    text = _table(report)
    print(text)  # noqa: T201
    if not is_quick:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "training.json").write_text(json.dumps(report, indent=2) + "\n")
        (FOLDER / "training.md").write_text(text)


def _measure(size: Size, workers: RayWorkers) -> dict[str, Any]:
    dataset = sources.make_synthetic(n_samples=size.rows, seed=1)
    model = RandomForestClassifier(size.trees, random_state=SEED)

    def alone(jobs: int) -> Callable[[], RandomForestClassifier]:
        return lambda: clone(model).set_params(n_jobs=jobs).fit(dataset.features, dataset.target)

    contenders: dict[str, Callable[[], RandomForestClassifier]] = {
        "n_jobs=1": alone(1),
        f"n_jobs={workers.parallel_tasks}": alone(workers.parallel_tasks),
        "slices": lambda: distributed_forest.fit(model, dataset.features, dataset.target, workers=workers),
    }
    contenders["slices"]()  # the workers have imported scikit-learn, as they have once a job waited for a CPU
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    prints = set()
    for _ in range(size.rounds):
        for name, fit in contenders.items():
            started = time.perf_counter()
            fitted = fit()
            seconds[name].append(time.perf_counter() - started)
            prints.add(provenance.forest_fingerprint(fitted))
            del fitted
    peaks = {}
    for name, fit in contenders.items():
        with _peak() as peak:
            fit()
        peaks[name] = round(peak[0] / 1024**2)
    if len(prints) != 1:
        raise SystemExit(f"The forests of {size} are not the same: {prints}")
    first, *others = seconds
    return {
        "rows": size.rows,
        "columns": dataset.features.shape[1],
        "trees": size.trees,
        "rounds": size.rounds,
        "fingerprint": prints.pop(),
        "seconds": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
        "ratio_to_n_jobs_1": {
            name: round(statistics.median(a / b for a, b in zip(seconds[first], seconds[name], strict=True)), 2)
            for name in others
        },
        "peak_mib_above_start": peaks,
        "float32_rows_mib": round(dataset.features.size * 4 / 1024**2),
    }


@contextmanager
def _peak() -> Iterator[list[float]]:
    """The most bytes that this process and its children held beyond what they hold now."""
    before, over = _held(), threading.Event()
    peak = [0.0]

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            peak[0] = max(peak[0], _held() - before)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _held() -> float:
    """Proportional set size of the family: a page that three processes share counts a third for each."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it ended meanwhile
            continue
    return total


def _table(report: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in report["packages"].items())
    lanes = f"n_jobs={report['cores']}"
    lines = [
        "# Training: slices over Ray against scikit-learn alone",
        "",
        f"`python -m tests.benchmark.training` on {report['cores']} cores, Python {report['python']}, {packages}.",
        "Ratios are medians over rounds: seconds of the one by seconds of the other within a round. Every forest of a",
        "row of this table is the same, bit for bit. Memory is the peak of all processes above what they held before,",
        f"shared pages counted once. Load of the machine at the end: {report['load_at_end']:.1f}.",
        "",
        HEAD.format(lanes=lanes),
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in report["sizes"]:
        medians = {name: statistics.median(values) for name, values in size["seconds"].items()}
        ratios, peaks = size["ratio_to_n_jobs_1"], size["peak_mib_above_start"]
        against = statistics.median(
            a / b for a, b in zip(size["seconds"][lanes], size["seconds"]["slices"], strict=True)
        )
        lines.append(
            f"| {size['rows']:,} | {size['trees']} | {medians['n_jobs=1']:.2f} s | {medians[lanes]:.2f} s "
            f"| {medians['slices']:.2f} s | {ratios['slices']:.2f}x | {against:.2f}x "
            f"| {peaks['n_jobs=1']}, {peaks[lanes]}, {peaks['slices']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
