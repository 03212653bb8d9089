"""What the prediction log and traces cost: throughput and processor time with and without them.

Run it with `python -m tests.benchmark.recording`; `--quick` sends few requests and writes no page. It needs Linux and
two processor cores.
"""

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from sklearn.ensemble import RandomForestClassifier

from app import names
from tests.benchmark import forest, load, report, switchable, turns
from tests.benchmark.servers import manta
from tests.support.json_object import JsonObject
from tests.support.otlp_receiver import otlp_receiver
from tests.support.waiting import wait_until

ROUNDS: Final = 4
LOG_ROUNDS: Final = 8
"""Rounds with the log, whose cost is so small that fewer rounds do not tell it."""
SECONDS: Final = 20.0
"""Duration of each turn; a round has two. With so many requests, that is about the time until a buffer is half full."""
WRITE_S: Final = 1.5
"""Time before the end of a turn when the log writes."""
CONNECTIONS: Final = 16
BODIES: Final = 2_000
"""Number of different rows."""
WARM_UP_S: Final = 10.0
SETTLE_S: Final = 3.0
"""Time in which the log writes what it holds, after it is switched off."""
NO_LOG: Final = ("--prediction-log", "off")

THREAD_S: Final = 300.0
"""Duration of the measurement of the thread that answers."""
THREAD_CONNECTIONS: Final = 32
GROUP: Final = 250
"""Rounds of blocks whose times are averaged. The first group is left out, because the platform is not warm."""


def options_of(collector: str) -> dict[str, tuple[str, ...]]:
    """Options of `manta local`, by the name of the case.

    Args:
        collector: Address of a receiver of traces that does nothing else.
    """
    return {
        "a log of all predictions": (),
        "traces of 1 % of the requests, to a collector": _traces(collector),
        "traces of 1 % of the requests, to MLflow": _traces("mlflow"),
    }


def _traces(endpoint: str) -> tuple[str, ...]:
    return (*NO_LOG, "--otlp-endpoint", endpoint, "--trace-percent", "1")


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A platform on a core of its own, with the load that it gets."""

    url: str
    bodies: Sequence[bytes]
    process: psutil.Process
    """The first process of the platform."""
    switch: Path
    core: int

    def pin(self) -> None:
        """Let all threads of the platform run on its core."""
        for process in (self.process, *self.process.children(recursive=True)):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {self.core})

    def run(self, seconds: float, results: dict[int, load.LoadResult], *, connections: int = CONNECTIONS) -> None:
        """Send requests from the same core, and keep the result by the core. Pins the thread that calls it."""
        os.sched_setaffinity(0, {self.core})  # of this thread, and of the load's process
        results[self.core] = load.run_closed_loop(self.url, *self.bodies, connections=connections, seconds=seconds)


def main() -> None:
    """Measure, print the page, and write `docs/benchmarks/recording.*`."""
    quick = turns.is_quick(__doc__)
    rounds, log_rounds, seconds = (2, 2, 3.0) if quick else (ROUNDS, LOG_ROUNDS, SECONDS)
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "pyarrow")
    model = forest.fit_forest()
    with otlp_receiver() as collector:
        cases = options_of(collector.url)
        results = {
            name: _measure(model, options, rounds if options else log_rounds, seconds)
            for name, options in cases.items()
        }
        assert collector.spans, "the collector got no trace"
    blocks = _measure_thread(model, 10.0 if quick else THREAD_S)
    figures = {"machine": machine, "seconds": seconds, "results": results, "blocks": blocks}
    page = _describe(figures)
    print(page)  # noqa: T201 - the result
    if not quick:
        report.write_report("recording", figures, page, {})


def _measure(
    model: RandomForestClassifier, options: Sequence[str], rounds: int, seconds: float
) -> list[list[JsonObject]]:
    """Measure two platforms at the same time. One of them records, and in the next turn the other one.

    Returns:
        The turns of each round. A turn has the figures with the recording `on` and `off`.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    with ExitStack() as running:
        platforms = [_start(running, model, options, core) for core in cores]
        for platform in platforms:
            platform.pin()
        _run_turn(platforms, on=platforms[0], seconds=WARM_UP_S)
        measured = []
        for number in range(rounds):
            first, second = platforms if number % 2 else reversed(platforms)
            measured.append([_run_turn(platforms, on=platform, seconds=seconds) for platform in (first, second)])
        return measured


def _measure_thread(model: RandomForestClassifier, seconds: float) -> dict[str, list[float]]:
    """Measure the thread that answers. The replica has one core, and everything else the other one.

    Returns:
        For each way to keep predictions, microseconds per request in each group of rounds of blocks.
    """
    replica_core, other_core = sorted(os.sched_getaffinity(0))[:2]
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        os.environ[switchable.BLOCKS] = str(folder / "blocks")
        platform = _start(running, model, (), other_core)
        del os.environ[switchable.BLOCKS]
        platform.pin()
        [replica] = [child for child in platform.process.children(recursive=True) if _is_replica(child)]
        for thread in replica.threads():
            os.sched_setaffinity(thread.id, {replica_core})
        platform.run(seconds, {}, connections=THREAD_CONNECTIONS)
        lines = (folder / "blocks").read_text().splitlines()
    rounds = [json.loads(line) for line in lines]
    groups = [rounds[start : start + GROUP] for start in range(GROUP, len(rounds) - GROUP + 1, GROUP)]
    return {way: [round(statistics.mean(times[way] for times in group), 2) for group in groups] for way in rounds[0]}


def _start(running: ExitStack, model: RandomForestClassifier, options: Sequence[str], core: int) -> Platform:
    folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True)))
    switch = folder / "switch"
    switch.write_text(switchable.OFF)
    os.environ[switchable.SWITCH] = str(switch)
    server, *_ = running.enter_context(
        manta(folder, model, *options, import_path=f"{switchable.__name__}:{switchable.build.__name__}")
    )
    process = next(child for child in psutil.Process().children() if Path(child.cwd()) == folder)
    wait_until(
        lambda: _count_replicas(process) == 1,
        what="the end of the replica from before the import path was set",
    )
    rows = forest.make_rows()[0].to_numpy()[:BODIES]
    bodies = [server.encode(rows[index : index + 1]) for index in range(len(rows))]
    return Platform(url=server.url, bodies=bodies, process=process, switch=switch, core=core)


def _count_replicas(first: psutil.Process) -> int:
    return sum(_is_replica(process) for process in first.children(recursive=True))


def _is_replica(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return f"ServeReplica:{names.APPLICATION}" in " ".join(process.cmdline())
    return False


def _run_turn(platforms: Sequence[Platform], *, on: Platform, seconds: float) -> JsonObject:
    on.switch.write_text(switchable.ON)
    time.sleep(1)
    begin_s = [report.processor_seconds(platform.process) for platform in platforms]
    results: dict[int, load.LoadResult] = {}
    loads = [threading.Thread(target=platform.run, args=(seconds, results)) for platform in platforms]
    for thread in loads:
        thread.start()
    time.sleep(seconds - WRITE_S)
    on.switch.write_text(switchable.WRITE)
    for thread in loads:
        thread.join()
    on.switch.write_text(switchable.OFF)
    time.sleep(SETTLE_S)
    turn = {}
    for platform, start_s in zip(platforms, begin_s, strict=True):
        result = results[platform.core]
        used_s = report.processor_seconds(platform.process) - start_s
        answers = result.per_second * seconds
        turn["on" if platform is on else "off"] = {
            **result.rounded(),
            "processor_ms": round(1000 * used_s / answers, 4),
        }
    return turn


def _describe(figures: JsonObject) -> str:
    """Return the page."""

    def column(rounds: list[list[JsonObject]], state: str, figure: str) -> list[float]:
        """The geometric mean of a figure over the turns of each round, so over both platforms."""
        return [statistics.geometric_mean(turn[state][figure] for turn in turns) for turns in rounds]

    def cells(rounds: list[list[JsonObject]], figure: str, form: str) -> list[str]:
        off, on = column(rounds, "off", figure), column(rounds, "on", figure)
        return [f"{statistics.median(off):{form}}", f"{statistics.median(on):{form}}", report.mean_interval(on, off)]

    rows = [
        [
            name,
            len(rounds),
            *cells(rounds, "per_second", ",.0f"),
            *cells(rounds, "processor_ms", ".3f"),
            *cells(rounds, "p99_ms", ".1f"),
            sum(turn[state]["failed"] for turns in rounds for turn in turns for state in turn),
        ]
        for name, rounds in figures["results"].items()
    ]
    blocks = figures["blocks"]
    no_log = blocks[switchable.NO_LOG]
    ways = [
        [way, f"{statistics.median(times):.1f}", report.mean_interval(times, no_log) if times != no_log else "1"]
        for way, times in blocks.items()
    ]
    header = ["", "rounds", "requests a second without", "with", "ratio"]
    header += ["processor time per answer without, ms", "with", "ratio", "p99 without, ms", "with", "ratio", "failed"]
    lines = [
        "# What the prediction log and traces cost",
        "",
        "`python -m tests.benchmark.recording`: two platforms with one replica each run at the same time. Each has one",
        f"core for everything: replica, proxy, MLflow, and the load of {CONNECTIONS} connections that are always busy.",
        "In one turn one platform records and the other does not, and in the next turn the other way round. So each",
        f"process is compared with itself. A round has two turns of {figures['seconds']:g} s each. The log writes once",
        f"in each turn. Each request has one of {BODIES:,} rows. The processor time is that of platform and MLflow.",
        "The collector is a process outside of the platforms. Figures are medians over the rounds, and ratios are",
        "geometric means with 95 % intervals (Student's t of the logarithms).",
        report.describe_machine(figures["machine"]),
        "",
        report.markdown_table(header, rows),
        "",
        "## The thread that answers",
        "",
        "The log changes after each block of requests, in random order: no log, the log, or a list of references to",
        "what any log has to keep: the id, the time, the rows and the answers. The replica has one core, and the rest",
        f"has the other one. {THREAD_CONNECTIONS} connections are always busy, so this thread is the bound of the",
        f"throughput. {GROUP * len(no_log):,} rounds have three blocks of {switchable.BLOCK_REQUESTS} requests.",
        "",
        report.markdown_table(["", "processor time per request, µs", "ratio"], ways),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
