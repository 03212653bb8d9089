"""Latency at a constant rate while four replicas load another version ten times: `python -m tests.benchmark.swap`."""

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import httpx
import psutil

from app.cli.endpoints import Endpoints
from app.serving.loading.fork_server import NICENESS
from tests.benchmark import forest, load, report
from tests.benchmark.servers import manta
from tests.support import fleet_models
from tests.support.json_object import JsonObject

REPLICA_COUNT: Final = 4
SWAP_COUNT: Final = 10
REQUEST_COUNT: Final = 10_000
RATE: Final = 150.0
"""Requests per second. Two cores can answer many more, so the benchmark does not measure a queue."""


BURN: Final = """
import sys, time
while time.process_time() < float(sys.argv[1]):
    sum(range(1000))
"""


def main() -> None:
    """Measure, print the page, and write `docs/benchmarks/swap.*`."""
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "numba")
    model = forest.fit_forest()
    rows = forest.make_rows()[0].to_numpy()[:1]
    seconds = REQUEST_COUNT / RATE
    with (
        tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder,
        manta(Path(folder), model) as (server, _, scale, endpoints),
    ):
        versions = [fleet_models.register(endpoints.mlflow_url, model, *forest.make_rows()) for _ in range(2)]
        scale(REPLICA_COUNT)
        body = server.encode(rows)
        load.run_at_rate(server.url, body, rate=RATE, seconds=5)
        [platform] = psutil.Process().children()
        processor_s = [report.processor_seconds(platform)]
        without_swaps = load.run_at_rate(server.url, body, rate=RATE, seconds=seconds)
        processor_s.append(report.processor_seconds(platform))
        load_times_s: list[float] = []
        arguments = (endpoints, versions, seconds / (SWAP_COUNT + 1), load_times_s)
        swapping = threading.Thread(target=_swap_versions, args=arguments)
        swapping.start()
        with_swaps = load.run_at_rate(server.url, body, rate=RATE, seconds=seconds)
        swapping.join()
        processor_s.append(report.processor_seconds(platform))
        burst_s = (processor_s[2] - 2 * processor_s[1] + processor_s[0]) / SWAP_COUNT
        burning = threading.Thread(target=_burn, args=(burst_s, seconds / (SWAP_COUNT + 1)))
        burning.start()
        with_bursts = load.run_at_rate(server.url, body, rate=RATE, seconds=seconds)
        burning.join()
    figures: JsonObject = {
        "machine": machine,
        "requests": REQUEST_COUNT,
        "nodes": sum(tree.tree_.node_count for tree in model.estimators_),
        "quiet": without_swaps.rounded(),
        "swapped": with_swaps.rounded(),
        "bursts": with_bursts.rounded(),
        "burst_s": round(burst_s, 3),
        "load_s": [round(value, 3) for value in load_times_s],
    }
    page = _page(figures)
    print(page)  # noqa: T201 - the result
    report.write_report("swap", figures, page, {})


def _swap_versions(endpoints: Endpoints, versions: list[str], interval_s: float, load_times_s: list[float]) -> None:
    """Load the two versions in turn on every replica, and append the duration of each load to `load_times_s`."""
    with httpx.Client(timeout=150, headers=endpoints.serve_headers) as client:
        for number in range(SWAP_COUNT):
            start_s = time.perf_counter()
            version = versions[number % 2]
            response = client.post(f"{endpoints.api_url}/model/load", json={"version": version})
            replicas = response.raise_for_status().json()["replicas"]
            assert {replica["version"] for replica in replicas} == {version}
            assert len(replicas) == REPLICA_COUNT
            load_times_s.append(time.perf_counter() - start_s)
            time.sleep(max(0.0, interval_s - load_times_s[-1]))


def _burn(burst_s: float, interval_s: float) -> None:
    """Use processor time as the loads do, but load nothing: one process, then one for each other replica at once."""
    for _ in range(SWAP_COUNT):
        start_s = time.perf_counter()
        for count in (1, REPLICA_COUNT - 1):
            command = ["nice", "-n", str(NICENESS), sys.executable, "-S", "-c", BURN, str(burst_s / 2 / count)]
            processes = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
            for process in processes:
                process.wait()
        time.sleep(max(0.0, interval_s - (time.perf_counter() - start_s)))


def _page(figures: JsonObject) -> str:
    rows = [
        [name, figures["requests"], result["failed"], f"{result['p50_ms']:.2f}", f"{result['p99_ms']:.2f}"]
        for name, result in (
            ("no swap", figures["quiet"]),
            (f"{SWAP_COUNT} swaps", figures["swapped"]),
            (f"the processor time of {SWAP_COUNT} swaps, but no swap", figures["bursts"]),
        )
    ]
    load_times_s = sorted(figures["load_s"])
    swaps, bursts = (figures[name]["p99_ms"] / figures["quiet"]["p99_ms"] for name in ("swapped", "bursts"))
    return "\n".join(
        [
            "# Requests while the fleet swaps its model",
            "",
            f"`python -m tests.benchmark.swap`: {REPLICA_COUNT} replicas, a forest of {figures['nodes']:,} nodes,",
            f"{RATE:g} requests of one row a second. {report.describe_machine(figures['machine'])}",
            "",
            report.markdown_table(["", "requests", "failed", "p50, ms", "p99, ms"], rows),
            "",
            f"A load on all replicas, from request to answer: {load_times_s[0]:.2f} to {load_times_s[-1]:.2f} s,",
            f"median {statistics.median(load_times_s):.2f} s. p99 is {swaps:.2f} times that without a swap.",
            "",
            f"A swap uses {figures['burst_s']:.2f} s of processor time. Processes of the same priority that use as",
            f"much, but load nothing, raise the p99 to {bursts:.2f} times.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
