"""Throughput and latency of several cases that are measured in turn, in one run."""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from tests.benchmark import forest, load, report
from tests.benchmark.servers import Server
from tests.support.json_object import JsonObject

ROUNDS: Final = 5
CONNECTIONS: Final = 32
"""Connections of the closed loop, which measures the throughput."""

RATE: Final = 150.0
"""Requests per second of the open loop, which measures the latency."""

SECONDS: Final = 10.0
"""Duration of each measurement."""

Case = Callable[[], AbstractContextManager[Server]]
"""Makes a case true while the block runs, and yields the server."""


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """A case that is always true: yield a running server."""
    yield server


def is_quick(description: str | None) -> bool:
    """Parse the command line: whether the benchmark sends few requests and writes no page."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="send few requests, and do not write the figures")
    return bool(parser.parse_args().quick)


def measure(cases: Mapping[str, Case], *, quick: bool) -> JsonObject:
    """Measure requests of one row, and return the figures of each round by the name of the case."""
    rounds, seconds = (1, 1.0) if quick else (ROUNDS, SECONDS)
    row = forest.make_rows()[0].to_numpy()[:1]
    results: dict[str, list[JsonObject]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, begin in cases.items():
            with begin() as server:
                body = server.encode(row)
                if number == 0:  # warm up
                    load.run_at_rate(server.url, body, rate=RATE, seconds=min(5.0, seconds))
                closed = load.run_closed_loop(server.url, body, connections=CONNECTIONS, seconds=seconds)
                open_loop = load.run_at_rate(server.url, body, rate=RATE, seconds=seconds)
            results[name].append({"throughput": closed.rounded(), "latency": open_loop.rounded()})
    return {"rounds": rounds, "seconds": seconds, "results": results}


def describe(figures: JsonObject, baseline: str) -> list[str]:
    """Return the lines of a page that describe the measurement and its result.

    Args:
        figures: The result of `measure`, with the machine as `machine`.
        baseline: The case with which the ratios compare.
    """
    results = figures["results"]

    def column(name: str, loop: str, figure: str) -> list[float]:
        return [result[loop][figure] for result in results[name]]

    def ratio(name: str, loop: str, figure: str) -> float:
        return report.median_ratio(column(name, loop, figure), column(baseline, loop, figure))

    rows = [
        [
            name,
            f"{statistics.median(column(name, 'throughput', 'per_second')):,.0f}",
            f"{ratio(name, 'throughput', 'per_second'):.2f}",
            f"{statistics.median(column(name, 'latency', 'p50_ms')):.2f}",
            f"{statistics.median(column(name, 'latency', 'p99_ms')):.2f}",
            f"{ratio(name, 'latency', 'p99_ms'):.2f}",
            sum(result[loop]["failed"] for result in results[name] for loop in ("throughput", "latency")),
        ]
        for name in results
    ]
    header = ["", "requests a second", "ratio", "p50, ms", "p99, ms", "ratio of p99", "failed"]
    return [
        f"Requests of one row, {figures['rounds']} rounds. The throughput is that of {CONNECTIONS} connections that",
        f"are always busy, for {figures['seconds']:g} s. The latency is that of {RATE:g} requests a second. Figures",
        f"are medians over the rounds; ratios compare with {baseline} in the same round.",
        report.describe_machine(figures["machine"]),
        "",
        report.markdown_table(header, rows),
        "",
    ]
