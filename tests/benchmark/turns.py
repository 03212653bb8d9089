"""Throughput and latency of several cases that are measured in turn, in one run."""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import psutil

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


def measure(
    cases: Mapping[str, Case],
    *,
    quick: bool,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
    platforms: Mapping[str, psutil.Process] = {},
) -> JsonObject:
    """Measure requests of one row, and return the figures of each round by the name of the case.

    Args:
        cases: What to measure, by name.
        quick: Whether two short rounds are enough.
        rounds: How often each case has its turn.
        seconds: Duration of each of the two measurements of a turn.
        platforms: The first process of the platform of a case whose processor time is measured too, by name.
    """
    if quick:
        rounds, seconds = 2, 1.0
    row = forest.make_rows()[0].to_numpy()[:1]
    results: dict[str, list[JsonObject]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, begin in cases.items():
            with begin() as server:
                body = server.encode(row)
                if number == 0:  # warm up
                    load.run_at_rate(server.url, body, rate=RATE, seconds=min(5.0, seconds))
                begin_s = report.processor_seconds(platforms[name]) if name in platforms else 0.0
                closed = load.run_closed_loop(server.url, body, connections=CONNECTIONS, seconds=seconds)
                open_loop = load.run_at_rate(server.url, body, rate=RATE, seconds=seconds)
                end_s = report.processor_seconds(platforms[name]) if name in platforms else 0.0
            answers = seconds * (closed.per_second + open_loop.per_second)
            result = {"throughput": closed.rounded(), "latency": open_loop.rounded()}
            if name in platforms:
                result["processor"] = {"ms_per_answer": round(1000 * (end_s - begin_s) / answers, 4)}
            results[name].append(result)
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

    def ratio(name: str, loop: str, figure: str) -> str:
        return report.median_interval(column(name, loop, figure), column(baseline, loop, figure))

    rows = [
        [
            name,
            f"{statistics.median(column(name, 'throughput', 'per_second')):,.0f}",
            ratio(name, "throughput", "per_second"),
            f"{statistics.median(column(name, 'latency', 'p50_ms')):.2f}",
            f"{statistics.median(column(name, 'latency', 'p99_ms')):.2f}",
            ratio(name, "latency", "p99_ms"),
            sum(result[loop]["failed"] for result in results[name] for loop in ("throughput", "latency")),
        ]
        for name in results
    ]
    header = ["", "requests a second", "ratio", "p50, ms", "p99, ms", "ratio of p99", "failed"]
    if all("processor" in result for result in results[baseline]):
        header += ["processor time per answer, ms", "ratio of processor time"]
        for name, row in zip(results, rows, strict=True):
            row.append(f"{statistics.median(column(name, 'processor', 'ms_per_answer')):.3f}")
            row.append(ratio(name, "processor", "ms_per_answer"))
    return [
        f"Requests of one row, {figures['rounds']} rounds. The throughput is that of {CONNECTIONS} connections that",
        f"are always busy, for {figures['seconds']:g} s. The latency is that of {RATE:g} requests a second. Figures",
        f"are medians over the rounds; ratios compare with {baseline} in the same round,",
        "with their 95 % intervals by bootstrap.",
        report.describe_machine(figures["machine"]),
        "",
        report.markdown_table(header, rows),
        "",
    ]
