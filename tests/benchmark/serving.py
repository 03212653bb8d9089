"""The public Serve port against other servers of the same forest: `python -m tests.benchmark.serving`.

First every server must predict exactly as scikit-learn does; otherwise the benchmark stops. Then each server is
measured in turn, round by round, while the others are idle. A ratio is the median of the ratios within the rounds.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.benchmark import forest, load, report
from tests.benchmark.servers import START_PEERS, Server, manta
from tests.support.json_object import JsonObject
from tests.support.threshold_rows import rows_near_thresholds

ROUNDS: Final = 5
SECONDS: Final = 4.0
"""Duration of the load on one server in a round."""
CHECKED_ROWS: Final = 100
"""Rows that every server predicts correctly before it is measured."""
LOADS: Final = {"1 row, 32 connections": (1, 32), "64 rows, 8 connections": (64, 8)}
GOALS: Final = {
    "1 row, 32 connections": {
        "mlflow models serve": 80,
        "MLServer": 40,
        "BentoML": 100,
        "LitServe": 60,
        "Serve, constant": 0.95,
    },
    "64 rows, 8 connections": {
        "mlflow models serve": 50,
        "MLServer": 25,
        "BentoML": 50,
        "LitServe": 50,
        "Serve, constant": 0.85,
    },
}
"""Goal for the ratio of the throughputs, by other server."""
RATES: Final = {"manta": (20, 100, 500, 1000)}
COMMON_RATE: Final = (20,)
"""Requests per second at a constant rate. Every server can keep up with this rate."""
GROWTH: Final = {
    "rows": (1, 4, 16, 64, 256, 1024, 4096),
    "connections": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "replicas": (1, 2, 4, 8),
}


def main() -> None:
    """Start every server, compare the predictions, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not written")
    is_quick = parser.parse_args().quick
    rounds, seconds = (1, 1.0) if is_quick else (ROUNDS, SECONDS)
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "numba")
    model = forest.fit_forest()
    rows = rows_near_thresholds(model, 8192, seed=3)[2048:6144]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True)))
        manta_server, constant, scale, _ = stack.enter_context(manta(_create(folder / "manta"), model))
        peers = [stack.enter_context(start(_create(folder / start.__name__), model)) for start in START_PEERS]
        servers = [manta_server, constant, *peers]
        for server in servers:
            _check(server, model, rows)
        figures: JsonObject = {
            "machine": machine,
            "checked_rows": CHECKED_ROWS,
            "closed": {name: _measure_rounds(servers, rows, *sizes, rounds, seconds) for name, sizes in LOADS.items()},
            "open": _measure_at_rates([manta_server, *peers], rows, seconds),
            "growth": _measure_growth(manta_server, rows, scale, seconds),
        }
    page = _page(figures)
    print(page)  # noqa: T201 - the result
    if not is_quick:
        panels = {
            f"answers a second over {name}": {"manta": _curve(points)} for name, points in figures["growth"].items()
        }
        report.write_report("serving", figures, page, panels)


def _create(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _check(server: Server, model: Any, rows: np.ndarray) -> None:  # noqa: ANN401 - scikit-learn has no types
    """Compare the predictions of a server with those of scikit-learn.

    Raises:
        SystemExit: The predictions differ.
    """
    if server.decode is None:
        return
    for checked in (rows[:1], rows[-CHECKED_ROWS:]):
        labels, probabilities = server.predict(checked)
        if labels != model.predict(checked).tolist() or probabilities.tolist() != model.predict_proba(checked).tolist():
            raise SystemExit(f"{server.name} does not predict as scikit-learn does, so its figures cannot be compared")


def _measure_rounds(
    servers: list[Server], rows: np.ndarray, count: int, connections: int, rounds: int, seconds: float
) -> dict[str, list[JsonObject]]:
    """Return the figures of each round, by server; a first short load warms up each server."""
    rounds_by_server: dict[str, list[JsonObject]] = {server.name: [] for server in servers}
    for number in range(rounds + 1):
        for server in servers:
            body = server.encode(rows[:count])
            result = load.run_closed_loop(
                server.url, body, connections=connections, seconds=seconds if number else min(seconds, 1.0)
            )
            if number:
                rounds_by_server[server.name].append(result.rounded())
    return rounds_by_server


def _measure_at_rates(servers: list[Server], rows: np.ndarray, seconds: float) -> list[JsonObject]:
    return [
        {
            "server": server.name,
            "rate": rate,
            **load.run_at_rate(server.url, server.encode(rows[:1]), rate=rate, seconds=seconds).rounded(),
        }
        for server in servers
        for rate in RATES.get(server.name, COMMON_RATE)
    ]


def _measure_growth(
    server: Server, rows: np.ndarray, scale: Callable[[int], None], seconds: float
) -> dict[str, dict[int, JsonObject]]:
    """Measure with different numbers of rows, connections and replicas; only one of them changes at a time."""
    figures: dict[str, dict[int, JsonObject]] = {name: {} for name in GROWTH}
    for count in GROWTH["rows"]:
        result = load.run_closed_loop(server.url, server.encode(rows[:count]), connections=8, seconds=seconds)
        figures["rows"][count] = asdict(result)
    body = server.encode(rows[:1])
    for connections in GROWTH["connections"]:
        result = load.run_closed_loop(server.url, body, connections=connections, seconds=seconds)
        figures["connections"][connections] = asdict(result)
    for replicas in GROWTH["replicas"]:
        scale(replicas)
        load.run_closed_loop(server.url, body, connections=32, seconds=1.0)
        figures["replicas"][replicas] = asdict(load.run_closed_loop(server.url, body, connections=32, seconds=seconds))
    return figures


def _curve(points: dict[int, JsonObject]) -> dict[float, float]:
    return {float(count): point["per_second"] for count, point in points.items()}


def _page(figures: JsonObject) -> str:
    parts = [
        "# The public port against other servers",
        "",
        "`python -m tests.benchmark.serving`, on loopback, each server with one worker. "
        + report.describe_machine(figures["machine"]),
        "",
        f"Every server gave scikit-learn's answers to {figures['checked_rows']} rows to the last bit before it was",
        "measured. *Serve, constant* answers the same bytes always, through the same proxy with the same settings.",
    ]
    for name, rounds_by_server in figures["closed"].items():
        parts += ["", f"## {name}, as fast as answers come", "", _comparison_table(rounds_by_server, GOALS[name])]
    table_rows = [
        [result["server"], result["rate"], f"{result['p50_ms']:.2f}", f"{result['p99_ms']:.2f}", result["failed"]]
        for result in figures["open"]
    ]
    parts += ["", "## 1 row, at a constant rate", ""]
    parts += ["Each time counts from when the request was due.", ""]
    parts += [report.markdown_table(["server", "requests/s", "p50, ms", "p99, ms", "failed"], table_rows)]
    for name, points in figures["growth"].items():
        table_rows = [
            [
                f"{count:,}",
                f"{point['per_second']:,.0f}",
                f"{point['p50_ms']:.2f}",
                f"{point['p99_ms']:.2f}",
                point["failed"],
            ]
            for count, point in points.items()
        ]
        parts += [
            "",
            f"## How it grows with {name}",
            "",
            report.markdown_table([name, "answers/s", "p50, ms", "p99, ms", "failed"], table_rows),
        ]
    return "\n".join([*parts, "", "![growth](serving.svg)", ""])


def _comparison_table(rounds_by_server: dict[str, list[JsonObject]], goals: dict[str, float]) -> str:
    def column(server: str, figure: str) -> list[float]:
        return [result[figure] for result in rounds_by_server[server]]

    table_rows: list[list[object]] = []
    for server in rounds_by_server:
        rate, p50, p99 = (statistics.median(column(server, figure)) for figure in ("per_second", "p50_ms", "p99_ms"))
        throughput_ratio = (
            ""
            if server == "manta"
            else f"{report.median_ratio(column('manta', 'per_second'), column(server, 'per_second')):,}x"
        )
        p99_ratio = (
            ""
            if server == "manta"
            else f"{report.median_ratio(column(server, 'p99_ms'), column('manta', 'p99_ms')):,}x"
        )
        failed = int(sum(column(server, "failed")))
        table_rows.append(
            [
                server,
                f"{rate:,.0f}",
                f"{p50:.2f}",
                f"{p99:.2f}",
                failed,
                throughput_ratio,
                _goal(goals, server),
                p99_ratio,
            ]
        )
    header = ["server", "answers/s", "p50, ms", "p99, ms", "failed", "manta is", "goal", "its p99 by manta's"]
    return report.markdown_table(header, table_rows)


def _goal(goals: dict[str, float], server: str) -> str:
    return f"{goals[server]}x" if server in goals else ""


if __name__ == "__main__":
    main()
