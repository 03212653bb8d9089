"""Requests at a constant rate while a fleet of four swaps its model ten times: `python -m tests.benchmark.swap`."""

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import httpx

from app.cli.endpoints import Endpoints
from tests.benchmark import forest, load, report
from tests.benchmark.servers import manta
from tests.support import fleet_models

REPLICAS: Final = 4
SWAPS: Final = 10
REQUESTS: Final = 10_000
RATE: Final = 150.0
"""Requests a second: well below what two cores answer, or the queue would be measured."""


def main() -> None:
    """Measure, print, and write `docs/benchmarks/swap.*`."""
    machine = report.machine("ray", "mlflow", "fastapi", "scikit-learn", "numba")
    model = forest.fitted()
    rows = forest.rows()[0].to_numpy()[:1]
    seconds = REQUESTS / RATE
    with (
        tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder,
        manta(Path(folder), model) as (server, _, scale, endpoints),
    ):
        versions = [fleet_models.register(endpoints.mlflow_url, other, *forest.rows()) for other in (model, model)]
        scale(REPLICAS)
        body = server.ask(rows)
        load.at_rate(server.url, body, rate=RATE, seconds=5)
        quiet = load.at_rate(server.url, body, rate=RATE, seconds=seconds)
        times: list[float] = []
        swapping = threading.Thread(target=_swap, args=(endpoints, versions, seconds / (SWAPS + 1), times))
        swapping.start()
        swapped = load.at_rate(server.url, body, rate=RATE, seconds=seconds)
        swapping.join()
    measured: dict[str, Any] = {
        "machine": machine,
        "requests": REQUESTS,
        "nodes": sum(tree.tree_.node_count for tree in model.estimators_),
        "quiet": quiet.figures(),
        "swapped": swapped.figures(),
        "load_s": [round(took, 3) for took in times],
    }
    text = _page(measured)
    print(text)  # noqa: T201
    report.write("swap", measured, text, {})


def _swap(endpoints: Endpoints, versions: list[str], pause_s: float, times: list[float]) -> None:
    """Load one version and the other in turn, each on every replica, and note what each load took."""
    with httpx.Client(timeout=150, headers=endpoints.serve_headers) as client:
        for number in range(SWAPS):
            begun = time.perf_counter()
            wanted = {"version": versions[number % 2]}
            answer = client.post(f"{endpoints.api_url}/model/load", json=wanted).raise_for_status().json()
            assert {replica["version"] for replica in answer["replicas"]} == {wanted["version"]}
            assert len(answer["replicas"]) == REPLICAS
            times.append(time.perf_counter() - begun)
            time.sleep(max(0.0, pause_s - times[-1]))


def _page(measured: dict[str, Any]) -> str:
    lines = [
        [name, measured["requests"], given["failed"], f"{given['p50_ms']:.2f}", f"{given['p99_ms']:.2f}"]
        for name, given in (("no swap", measured["quiet"]), (f"{SWAPS} swaps", measured["swapped"]))
    ]
    times = sorted(measured["load_s"])
    slower = measured["swapped"]["p99_ms"] / measured["quiet"]["p99_ms"]
    return "\n".join(
        [
            "# Requests while the fleet swaps its model",
            "",
            f"`python -m tests.benchmark.swap`: {REPLICAS} replicas, a forest of {measured['nodes']:,} nodes,",
            f"{RATE:g} requests of one row a second. {report.described(measured['machine'])}",
            "",
            report.table(["", "requests", "failed", "p50, ms", "p99, ms"], lines),
            "",
            f"A load on all replicas, from request to answer: {times[0]:.2f} to {times[-1]:.2f} s,",
            f"median {statistics.median(times):.2f} s. p99 is {slower:.2f} times that without a swap.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
