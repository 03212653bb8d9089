"""Throughput and latency with no rollout, with one at 50 %, and with a shadow of all requests.

Run it with `python -m tests.benchmark.live_rollout`; `--quick` sends few requests and writes no page.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from app.cli.endpoints import Endpoints
from tests.benchmark import forest, load, report
from tests.benchmark.servers import manta
from tests.support import fleet_models
from tests.support.json_object import JsonObject

REPLICA_COUNT: Final = 2
ROUNDS: Final = 5
CONNECTIONS: Final = 32
"""Connections of the closed loop, which measures the throughput."""

RATE: Final = 150.0
"""Requests per second of the open loop, which measures the latency."""

SECONDS: Final = 20.0
"""Duration of each measurement."""

PLAIN: Final = "no rollout"

DAY_S: Final = 86_400.0


def main() -> None:
    """Measure, print the page, and write `docs/benchmarks/live_rollout.*`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="send few requests, and do not write the figures")
    is_quick = parser.parse_args().quick
    rounds, seconds = (1, 1.0) if is_quick else (ROUNDS, SECONDS)
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "numba")
    model = forest.fit_forest()
    with (
        tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder,
        manta(Path(folder), model) as (server, _, scale, endpoints),
    ):
        version = fleet_models.register(endpoints.mlflow_url, model, *forest.make_rows())
        scale(REPLICA_COUNT)
        body = server.encode(forest.make_rows()[0].to_numpy()[:1])
        load.run_at_rate(server.url, body, rate=RATE, seconds=min(5.0, seconds))
        cases: dict[str, Callable[[], AbstractContextManager[None]]] = {
            PLAIN: nullcontext,
            "a rollout at 50 %": partial(_running, endpoints, "rollout", _rollout(version)),
            "a shadow of all requests": partial(_running, endpoints, "shadow", {"version": version}),
        }
        results: dict[str, list[JsonObject]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, begin in cases.items():
                with begin():
                    closed = load.run_closed_loop(server.url, body, connections=CONNECTIONS, seconds=seconds)
                    open_loop = load.run_at_rate(server.url, body, rate=RATE, seconds=seconds)
                results[name].append({"throughput": closed.rounded(), "latency": open_loop.rounded()})
    nodes = sum(tree.tree_.node_count for tree in model.estimators_)
    figures: JsonObject = {"machine": machine, "nodes": nodes, "rounds": rounds, "seconds": seconds, "results": results}
    page = _page(figures)
    print(page)  # noqa: T201 - the result
    if not is_quick:
        report.write_report("live_rollout", figures, page, {})


def _rollout(version: str) -> JsonObject:
    return {"version": version, "steps": [50], "hold": True, "min_seconds": DAY_S}


@contextmanager
def _running(endpoints: Endpoints, kind: str, message: JsonObject) -> Iterator[None]:
    """Begin a rollout or a shadow, and end it afterwards. It must not have ended by itself."""
    with httpx.Client(base_url=endpoints.api_url, headers=endpoints.serve_headers, timeout=150) as client:
        client.post(f"/model/{kind}", json=message).raise_for_status()
        yield
        status = client.get(f"/model/{kind}").raise_for_status().json()
        assert status["replicas_ready"] == REPLICA_COUNT, status
        client.delete(f"/model/{kind}").raise_for_status()


def _page(figures: JsonObject) -> str:
    results = figures["results"]

    def column(name: str, loop: str, figure: str) -> list[float]:
        return [result[loop][figure] for result in results[name]]

    rows = [
        [
            name,
            f"{statistics.median(column(name, 'throughput', 'per_second')):,.0f}",
            f"{_ratio(column, name, 'throughput', 'per_second'):.2f}",
            f"{statistics.median(column(name, 'latency', 'p50_ms')):.2f}",
            f"{statistics.median(column(name, 'latency', 'p99_ms')):.2f}",
            f"{_ratio(column, name, 'latency', 'p99_ms'):.2f}",
            sum(result[loop]["failed"] for result in results[name] for loop in ("throughput", "latency")),
        ]
        for name in results
    ]
    header = ["", "requests a second", "ratio", "p50, ms", "p99, ms", "ratio of p99", "failed"]
    return "\n".join(
        [
            "# What a rollout and a shadow cost",
            "",
            f"`python -m tests.benchmark.live_rollout`: {REPLICA_COUNT} replicas, a forest of {figures['nodes']:,}",
            f"nodes in both versions, requests of one row, {figures['rounds']} rounds. The throughput is that of",
            f"{CONNECTIONS} connections that are always busy, for {figures['seconds']:g} s. The latency is that of",
            f"{RATE:g} requests a second. Figures are medians over the rounds; ratios compare with no rollout in the",
            "same round.",
            report.describe_machine(figures["machine"]),
            "",
            report.markdown_table(header, rows),
            "",
        ]
    )


def _ratio(column: Callable[[str, str, str], list[float]], name: str, loop: str, figure: str) -> float:
    return report.median_ratio(column(name, loop, figure), column(PLAIN, loop, figure))


if __name__ == "__main__":
    main()
