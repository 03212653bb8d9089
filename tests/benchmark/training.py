"""Fitting a forest in slices on Ray, against scikit-learn alone: `python -m tests.benchmark.training`.

In each round every contender fits the same rows with the same seed, one after the other, and all forests must be equal
bit for bit. A reported ratio is the median of the ratios within the rounds. Memory is measured in a separate round, as
the peak of this process and all its children; shared pages count once.
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
from typing import Final

import psutil
import ray
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from app.training import distributed_forest
from app.training.data import sources
from app.training.models.fingerprint import model_fingerprint
from app.training.ray_cluster import RayWorkers
from tests.support.json_object import JsonObject

FOLDER: Final = Path(__file__).parents[2] / "docs" / "benchmarks"
OBJECT_STORE_BYTES: Final = 2 * 1024**3
MEMORY_SAMPLE_INTERVAL_S: Final = 0.1
SEED: Final = 42
TABLE_HEADER: Final = (
    "| rows | trees | n_jobs=1 | {all_cores} | slices | slices against n_jobs=1 | slices against {all_cores} "
    "| peak MiB: n_jobs=1, {all_cores}, slices |"
)


@dataclass(frozen=True, kw_only=True)
class Size:
    """Rows, trees, and number of rounds of a measurement."""

    rows: int
    trees: int
    rounds: int


SIZES: Final = (
    Size(rows=5_000, trees=100, rounds=5),
    Size(rows=100_000, trees=24, rounds=3),
    Size(rows=1_000_000, trees=4, rounds=2),
)
QUICK_SIZES: Final = (Size(rows=2_000, trees=20, rounds=1), Size(rows=5_000, trees=20, rounds=1))


def main() -> None:
    """Measure every size, and write the figures as JSON and as a table."""
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
    measurements = [_measure(size, workers) for size in (QUICK_SIZES if is_quick else SIZES)]
    report = {
        "cores": cores,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("numpy", "ray", "scikit-learn")},
        "load_at_end": os.getloadavg()[0],
        "sizes": measurements,
    }
    page = _page(report)
    print(page)  # noqa: T201 - the result
    if not is_quick:
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / "training.json").write_text(json.dumps(report, indent=2) + "\n")
        (FOLDER / "training.md").write_text(page)


def _measure(size: Size, workers: RayWorkers) -> JsonObject:
    dataset = sources.make_synthetic(n_samples=size.rows, seed=1)
    model = RandomForestClassifier(size.trees, random_state=SEED)

    def scikit_learn(n_jobs: int) -> Callable[[], RandomForestClassifier]:
        return lambda: clone(model).set_params(n_jobs=n_jobs).fit(dataset.rows.features, dataset.rows.target)

    contenders: dict[str, Callable[[], RandomForestClassifier]] = {
        "n_jobs=1": scikit_learn(1),
        f"n_jobs={workers.parallel_tasks}": scikit_learn(workers.parallel_tasks),
        "slices": lambda: distributed_forest.fit(model, dataset.rows.features, dataset.rows.target, workers=workers),
    }
    contenders["slices"]()  # the workers import scikit-learn, as they do while a job waits for a CPU
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    fingerprints = set()
    for _ in range(size.rounds):
        for name, fit in contenders.items():
            start_s = time.perf_counter()
            fitted = fit()
            seconds[name].append(time.perf_counter() - start_s)
            fingerprints.add(model_fingerprint(fitted))
            del fitted
    peaks = {}
    for name, fit in contenders.items():
        with _measure_peak() as peak:
            fit()
        peaks[name] = round(peak[0] / 1024**2)
    if len(fingerprints) != 1:
        raise SystemExit(f"The forests of {size} are not equal: {fingerprints}")
    baseline, *others = seconds
    return {
        "rows": size.rows,
        "columns": dataset.rows.features.shape[1],
        "trees": size.trees,
        "rounds": size.rounds,
        "fingerprint": fingerprints.pop(),
        "seconds": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
        "ratio_to_n_jobs_1": {
            name: round(statistics.median(a / b for a, b in zip(seconds[baseline], seconds[name], strict=True)), 2)
            for name in others
        },
        "peak_mib_above_start": peaks,
        "float32_rows_mib": round(dataset.rows.features.size * 4 / 1024**2),
    }


@contextmanager
def _measure_peak() -> Iterator[list[float]]:
    """Measure the peak memory of this process and its children, in bytes above their memory at the start.

    Yields:
        A list with the peak, which is complete at the end.
    """
    start_bytes, is_over = _memory_bytes(), threading.Event()
    peak = [0.0]

    def sample() -> None:
        while not is_over.wait(MEMORY_SAMPLE_INTERVAL_S):
            peak[0] = max(peak[0], _memory_bytes() - start_bytes)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


def _memory_bytes() -> float:
    """Return the proportional set size of this process and its children.

    A page that three processes share counts a third for each of them.
    """
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # the process ended meanwhile
            continue
    return total


def _page(report: JsonObject) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in report["packages"].items())
    all_cores = f"n_jobs={report['cores']}"
    lines = [
        "# Training: slices over Ray against scikit-learn alone",
        "",
        f"`python -m tests.benchmark.training` on {report['cores']} cores, Python {report['python']}, {packages}.",
        "Ratios are medians over rounds: seconds of the one by seconds of the other within a round. Every forest of a",
        "row of this table is the same, bit for bit. Memory is the peak of all processes above what they held before,",
        f"shared pages counted once. Load of the machine at the end: {report['load_at_end']:.1f}.",
        "",
        TABLE_HEADER.format(all_cores=all_cores),
        "|---|---|---|---|---|---|---|---|",
    ]
    for size in report["sizes"]:
        medians = {name: statistics.median(values) for name, values in size["seconds"].items()}
        ratios, peaks = size["ratio_to_n_jobs_1"], size["peak_mib_above_start"]
        ratio_to_all_cores = statistics.median(
            a / b for a, b in zip(size["seconds"][all_cores], size["seconds"]["slices"], strict=True)
        )
        lines.append(
            f"| {size['rows']:,} | {size['trees']} | {medians['n_jobs=1']:.2f} s | {medians[all_cores]:.2f} s "
            f"| {medians['slices']:.2f} s | {ratios['slices']:.2f}x | {ratio_to_all_cores:.2f}x "
            f"| {peaks['n_jobs=1']}, {peaks[all_cores]}, {peaks['slices']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
