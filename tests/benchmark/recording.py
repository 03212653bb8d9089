"""Throughput and latency without a prediction log, with one, and with traces.

Run it with `python -m tests.benchmark.recording`; `--quick` sends few requests and writes no page.
"""

import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from tests.benchmark import forest, report, turns
from tests.benchmark.servers import manta
from tests.support.otlp_receiver import otlp_receiver

PLAIN: Final = "no log and no traces"
ROUNDS: Final = 20
SECONDS: Final = 4.0
"""Short turns and many of them: the speed of a shared machine changes by a third within a minute."""
NO_LOG: Final = ("--prediction-log", "off")


def platforms_of(collector: str) -> dict[str, tuple[str, ...]]:
    """Options of `manta local`, by the name of the case.

    Args:
        collector: Address of a receiver of traces that does nothing else.
    """
    return {
        PLAIN: NO_LOG,
        "a log of all predictions": (),
        "traces of 1 % of the requests, to a collector": _traces(collector),
        "traces of 1 % of the requests, to MLflow": _traces("mlflow"),
    }


def _traces(endpoint: str) -> tuple[str, ...]:
    return (*NO_LOG, "--otlp-endpoint", endpoint, "--trace-percent", "1")


def main() -> None:
    """Measure, print the page, and write `docs/benchmarks/recording.*`."""
    quick = turns.is_quick(__doc__)
    machine = report.read_machine("ray", "mlflow", "fastapi", "scikit-learn", "pyarrow")
    model = forest.fit_forest()
    with ExitStack() as running:
        cases: dict[str, turns.Case] = {}
        platforms: dict[str, psutil.Process] = {}
        collector = running.enter_context(otlp_receiver())
        for name, options in platforms_of(collector.url).items():
            folder = running.enter_context(tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True))
            server, *_ = running.enter_context(manta(Path(folder), model, *options))
            platforms[name] = next(child for child in psutil.Process().children() if Path(child.cwd()) == Path(folder))
            cases[name] = partial(turns.running, server)
        measured = turns.measure(cases, quick=quick, rounds=ROUNDS, seconds=SECONDS, platforms=platforms)
        figures = {"machine": machine, **measured}
        assert collector.spans, "the collector got no trace"
    page = "\n".join(
        [
            "# What the prediction log and traces cost",
            "",
            "`python -m tests.benchmark.recording`: four platforms with one replica each, which run at the same time",
            "and are measured one after the other. The log goes to MLflow on the same machine. The processor time is",
            "that of the whole platform, with MLflow. The collector is a process outside of the platform.",
            "All requests send the same row, so the files of the log compress well.",
            *turns.describe(figures, PLAIN),
        ]
    )
    print(page)  # noqa: T201 - the result
    if not quick:
        report.write_report("recording", figures, page, {})


if __name__ == "__main__":
    main()
