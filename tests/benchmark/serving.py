"""The public Serve port against other servers of the same forest: `python -m tests.benchmark.serving`.

Every server must first give scikit-learn's very answers, or the run ends. Then each is asked in turn, round by round,
while the others rest. Ratios are medians of those within a round.
"""

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from tests.benchmark import forest, load, report
from tests.benchmark.servers import PEERS_STARTED, Server, manta
from tests.support.hard_rows import hard_rows

ROUNDS: Final = 5
SECONDS: Final = 4.0
"""For which one server is asked in a round."""
CHECKED: Final = 100
"""Rows that every server answers before it is measured."""
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
"""Times as many answers a second."""
RATES: Final = {"manta": (20, 100, 500, 1000)}
COMMON_RATE: Final = (20,)
"""Requests a second at a constant rate: one that every server can keep up with."""
GROWTH: Final = {
    "rows": (1, 4, 16, 64, 256, 1024, 4096),
    "connections": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "replicas": (1, 2, 4, 8),
}


def main() -> None:
    """Start every server, compare, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not written")
    is_quick = parser.parse_args().quick
    rounds, seconds = (1, 1.0) if is_quick else (ROUNDS, SECONDS)
    machine = report.machine("ray", "mlflow", "fastapi", "scikit-learn", "numba")
    model = forest.fitted()
    rows = hard_rows(model, 8192, seed=3)[2048:6144]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True)))
        own, constant, scale, _ = stack.enter_context(manta(_made(folder / "manta"), model))
        peers = [stack.enter_context(start(_made(folder / start.__name__), model)) for start in PEERS_STARTED]
        servers = [own, constant, *peers]
        for server in servers:
            _check(server, model, rows)
        measured: dict[str, Any] = {
            "machine": machine,
            "checked_rows": CHECKED,
            "closed": {name: _rounds(servers, rows, *sizes, rounds, seconds) for name, sizes in LOADS.items()},
            "open": _at_rates([own, *peers], rows, seconds),
            "growth": _growth(own, rows, scale, seconds),
        }
    text = _page(measured)
    print(text)  # noqa: T201
    if not is_quick:
        panels = {
            f"answers a second over {name}": {"manta": _curve(points)} for name, points in measured["growth"].items()
        }
        report.write("serving", measured, text, panels)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _check(server: Server, model: Any, rows: np.ndarray) -> None:  # noqa: ANN401 - scikit-learn's
    """Compare a server's answers with scikit-learn's own.

    Raises:
        SystemExit: They differ.
    """
    if server.read is None:
        return
    for given in (rows[:1], rows[-CHECKED:]):
        labels, probabilities = server.answer(given)
        if labels != model.predict(given).tolist() or probabilities.tolist() != model.predict_proba(given).tolist():
            raise SystemExit(f"{server.name} answers otherwise than scikit-learn, and so no figure of it is compared")


def _rounds(
    servers: list[Server], rows: np.ndarray, count: int, connections: int, rounds: int, seconds: float
) -> dict[str, list[dict[str, Any]]]:
    """Figures of each round by server; a first short load warms each one up."""
    found: dict[str, list[dict[str, Any]]] = {server.name: [] for server in servers}
    for number in range(rounds + 1):
        for server in servers:
            body = server.ask(rows[:count])
            measured = load.closed(
                server.url, body, connections=connections, seconds=seconds if number else min(seconds, 1.0)
            )
            if number:
                found[server.name].append(measured.figures())
    return found


def _at_rates(servers: list[Server], rows: np.ndarray, seconds: float) -> list[dict[str, Any]]:
    return [
        {
            "server": server.name,
            "rate": rate,
            **load.at_rate(server.url, server.ask(rows[:1]), rate=rate, seconds=seconds).figures(),
        }
        for server in servers
        for rate in RATES.get(server.name, COMMON_RATE)
    ]


def _growth(own: Server, rows: np.ndarray, scale: Any, seconds: float) -> dict[str, dict[int, dict[str, Any]]]:  # noqa: ANN401 - a function
    """How answers a second change with the size of a request, its company and the replicas; all else stays."""
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in GROWTH}
    for count in GROWTH["rows"]:
        measured = load.closed(own.url, own.ask(rows[:count]), connections=8, seconds=seconds)
        found["rows"][count] = asdict(measured)
    body = own.ask(rows[:1])
    for connections in GROWTH["connections"]:
        measured = load.closed(own.url, body, connections=connections, seconds=seconds)
        found["connections"][connections] = asdict(measured)
    for replicas in GROWTH["replicas"]:
        scale(replicas)
        load.closed(own.url, body, connections=32, seconds=1.0)
        found["replicas"][replicas] = asdict(load.closed(own.url, body, connections=32, seconds=seconds))
    return found


def _curve(points: dict[int, dict[str, Any]]) -> dict[float, float]:
    return {float(count): figures["per_second"] for count, figures in points.items()}


def _page(measured: dict[str, Any]) -> str:
    parts = [
        "# The public port against other servers",
        "",
        "`python -m tests.benchmark.serving`, on loopback, each server with one worker. "
        + report.described(measured["machine"]),
        "",
        f"Every server gave scikit-learn's answers to {measured['checked_rows']} rows to the last bit before it was",
        "measured. *Serve, constant* answers the same bytes always, through the same proxy with the same settings.",
    ]
    for name, found in measured["closed"].items():
        parts += ["", f"## {name}, as fast as answers come", "", _compared(found, GOALS[name])]
    lines = [
        [given["server"], given["rate"], f"{given['p50_ms']:.2f}", f"{given['p99_ms']:.2f}", given["failed"]]
        for given in measured["open"]
    ]
    parts += ["", "## 1 row, at a constant rate", ""]
    parts += ["Each time counts from when the request was due.", ""]
    parts += [report.table(["server", "requests/s", "p50, ms", "p99, ms", "failed"], lines)]
    for name, points in measured["growth"].items():
        lines = [
            [
                f"{count:,}",
                f"{given['per_second']:,.0f}",
                f"{given['p50_ms']:.2f}",
                f"{given['p99_ms']:.2f}",
                given["failed"],
            ]
            for count, given in points.items()
        ]
        parts += [
            "",
            f"## How it grows with {name}",
            "",
            report.table([name, "answers/s", "p50, ms", "p99, ms", "failed"], lines),
        ]
    return "\n".join([*parts, "", "![growth](serving.svg)", ""])


def _compared(found: dict[str, list[dict[str, Any]]], goals: dict[str, float]) -> str:
    def column(server: str, figure: str) -> list[float]:
        return [given[figure] for given in found[server]]

    lines: list[list[object]] = []
    for server in found:
        rate, p50, p99 = (statistics.median(column(server, figure)) for figure in ("per_second", "p50_ms", "p99_ms"))
        times = (
            ""
            if server == "manta"
            else f"{report.ratio(column('manta', 'per_second'), column(server, 'per_second')):,}x"
        )
        slower = "" if server == "manta" else f"{report.ratio(column(server, 'p99_ms'), column('manta', 'p99_ms')):,}x"
        failed = int(sum(column(server, "failed")))
        lines.append([server, f"{rate:,.0f}", f"{p50:.2f}", f"{p99:.2f}", failed, times, _goal(goals, server), slower])
    head = ["server", "answers/s", "p50, ms", "p99, ms", "failed", "manta is", "goal", "its p99 by manta's"]
    return report.table(head, lines)


def _goal(goals: dict[str, float], server: str) -> str:
    return f"{goals[server]}x" if server in goals else ""


if __name__ == "__main__":
    main()
