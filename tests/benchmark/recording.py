"""What the prediction log and traces cost: throughput and processor time with and without them.

Run it with `python -m tests.benchmark.recording`; `--quick` sends few requests and writes no page. It needs Linux and
two processor cores.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from sklearn.ensemble import RandomForestClassifier

from app import names
from app.settings import Settings
from tests.benchmark import forest, load, report, switchable, turns
from tests.benchmark.servers import manta
from tests.support.json_object import JsonObject
from tests.support.otlp_receiver import otlp_receiver
from tests.support.waiting import wait_until

TURN_S: Final = 10.0
"""Duration of each turn. Shorter ones are no use: turns of 5 s were fast and slow in alternation, log or no log."""
GROUPS: Final = 10
LOG_GROUPS: Final = 50
"""Groups of turns with and without the log, whose cost is so small that fewer groups do not tell it."""
CONNECTIONS: Final = 32
BODIES: Final = 2_000
"""Number of different rows."""
WARM_UP_S: Final = 10.0
LIMIT: Final[int] = Settings.model_fields["prediction_log_rows_per_second"].default
NO_LOG: Final = ("--prediction-log", "off")
LOG: Final = "the prediction log"
LOG_OF_ALL: Final = "the prediction log without a limit"


def cases_of(collector: str) -> dict[str, tuple[str, ...]]:
    """Options of `manta local`, by the name of the case.

    Args:
        collector: Address of a receiver of traces that does nothing else.
    """
    return {
        LOG: (),
        "traces of 1 %, to a collector": _traces(collector),
        "traces of 1 %, to MLflow": _traces("mlflow"),
    }


def _traces(endpoint: str) -> tuple[str, ...]:
    return (*NO_LOG, "--otlp-endpoint", endpoint, "--trace-percent", "1")


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A running platform, and the requests that it gets."""

    url: str
    bodies: Sequence[bytes]
    process: psutil.Process
    """The first process of the platform."""
    figures: Path
    """The file that `switchable` writes."""

    def run(self, seconds: float) -> int:
        """Send requests.

        Returns:
            The number that failed.
        """
        return load.run_closed_loop(self.url, *self.bodies, connections=CONNECTIONS, seconds=seconds).failed

    def pin(self) -> None:
        """Let the replica run on one core, and everything else, also this process, on another one."""
        core, replica_core = sorted(os.sched_getaffinity(0))[:2]
        os.sched_setaffinity(0, {core})
        for process in (self.process, *self.process.children(recursive=True)):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {replica_core if _is_replica(process) else core})

    def read(self) -> list[JsonObject]:
        """Read the lines that `switchable` wrote."""
        return [json.loads(line) for line in self.figures.read_text().splitlines()]


def main() -> None:
    """Measure, print the page, and write `docs/benchmarks/recording.*`."""
    quick = turns.is_quick(__doc__)
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "pyarrow")
    model = forest.fit_forest()
    with otlp_receiver() as collector:
        results = {
            case: _measure_turns(model, options, quick=quick) for case, options in cases_of(collector.url).items()
        }
        assert collector.spans, "the collector got no trace"
    figures = {"machine": machine, "results": results}
    page = _describe(figures)
    print(page)  # noqa: T201 - the result
    if not quick:
        report.write_report("recording", figures, page, {})


def _measure_turns(model: RandomForestClassifier, options: Sequence[str], *, quick: bool) -> JsonObject:
    """Measure a case.

    Returns:
        The number of requests that `failed`, and the lines of `switchable.TurnLog`, in `groups` by their way.
    """
    ways, groups = (2, GROUPS) if options else (3, LOG_GROUPS)
    turn_s, groups = (3.0, 3) if quick else (TURN_S, groups)
    with _platform(model, *options, turn_s=turn_s) as platform:
        failed = platform.run(WARM_UP_S)
        platform.pin()
        begin = (len(platform.read()) // ways + 1) * ways  # the group that has begun is left out
        failed += platform.run((groups + 1) * ways * (turn_s + switchable.SETTLE_S))
        lines = platform.read()[begin:]
    measured = [lines[start : start + ways] for start in range(0, groups * ways, ways)]
    return {"failed": failed, "groups": [{turn["way"]: turn for turn in group} for group in measured]}


@contextmanager
def _platform(model: RandomForestClassifier, *options: str, turn_s: float) -> Iterator[Platform]:
    """Run a platform that measures its turns. Later processes get all cores again."""
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        figures = folder / "figures"
        os.environ[switchable.FIGURES] = str(figures)
        os.environ[switchable.TURN_S] = str(turn_s)
        import_path = f"{switchable.__name__}:{switchable.build.__name__}"
        with manta(folder, model, *options, import_path=import_path) as (server, *_):
            process = next(child for child in psutil.Process().children() if Path(child.cwd()) == folder)
            wait_until(
                lambda: len(_replicas(process)) == 1,
                what="the end of the replica from before the import path was set",
            )
            rows = forest.make_rows()[0].to_numpy()[:BODIES]
            bodies = [server.encode(rows[index : index + 1]) for index in range(len(rows))]
            yield Platform(url=server.url, bodies=bodies, process=process, figures=figures)
            os.sched_setaffinity(0, cores)


def _replicas(first: psutil.Process) -> list[psutil.Process]:
    return [process for process in first.children(recursive=True) if _is_replica(process)]


def _is_replica(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return f"ServeReplica:{names.APPLICATION}" in " ".join(process.cmdline())
    return False


def _rows_per_second(turns_of_way: Sequence[JsonObject]) -> float:
    """Rows that the log wrote in a second of its turns; 0 for traces."""
    first, *others = turns_of_way
    rows: int = others[-1]["written_rows"] - first["written_rows"]
    seconds: float = sum(turn["seconds"] for turn in others)
    return rows / seconds


def _describe(figures: JsonObject) -> str:
    """Return the page."""

    def cells(
        groups: list[dict[str, JsonObject]], way: str, amount: str, per: str, scale: float, form: str
    ) -> list[str]:
        off, on = (
            [scale * group[name][amount] / group[name][per] for group in groups] for name in (switchable.OFF, way)
        )
        return [f"{statistics.median(off):{form}}", f"{statistics.median(on):{form}}", report.mean_interval(on, off)]

    def row(case: str, way: str, groups: list[dict[str, JsonObject]], failed: int) -> list[object]:
        return [
            LOG_OF_ALL if way == switchable.ALL else case,
            f"{_rows_per_second([group[way] for group in groups]):,.0f}",
            len(groups),
            *cells(groups, way, "answers", "seconds", 1, ",.0f"),
            *cells(groups, way, "thread_s", "answers", 1e6, ".1f"),
            *cells(groups, way, "replica_s", "answers", 1e6, ".1f"),
            failed,
        ]

    rows = [
        row(case, way, result["groups"], result["failed"])
        for case, result in figures["results"].items()
        for way in (switchable.ON, switchable.ALL)
        if way in result["groups"][0]
    ]
    header = ["", "rows written a second", "groups of turns", "answers a second without", "with", "ratio"]
    header += ["processor time per answer of the thread that answers, without, µs", "with", "ratio"]
    header += ["of the replica, without, µs", "with", "ratio", "failed requests"]
    lines = [
        "# What the prediction log and traces cost",
        "",
        f"`python -m tests.benchmark.recording`: one replica gets requests on {CONNECTIONS} connections that are",
        f"always busy. Each request has one of {BODIES:,} rows. The replica has one core, with the thread that writes",
        "the log, and everything else has another one: proxy, MLflow, the load, and a collector. A group has turns of",
        f"{TURN_S:g} s without log and traces and with them, in random order. So each process is compared",
        f"with itself. Before each turn, {switchable.SETTLE_S:g} s do not count. At the end of a turn, the log writes",
        "and the traces are sent. Figures are medians over the groups, and ratios are geometric means with 95 %",
        "intervals (Student's t of the logarithms).",
        "",
        f"The log keeps {LIMIT:,} rows a second by default, and all of them with `predictionLogRowsPerSecond: 0`.",
        "",
        report.describe_machine(figures["machine"]),
        "",
        report.markdown_table(header, rows),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
