"""From the command to the driver's first line: `python -m tests.benchmark.submission`, on one local Ray."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.benchmark import report
from tests.support.local import MANTA, LocalFolder, clean_environment

ROUNDS: Final = 5
OPTIONS: Final = ("--dataset", "none-such")
FIRST_LINE: Final = "There is no bundled data set 'none-such'"
"""What the driver says first, and last: the same in both jobs."""
STARTED: Final = "Running entrypoint for job"


def seconds(command: Sequence[str], token: str, folder: Path) -> tuple[float, float]:
    """Time until the job's log begins, and until the driver's first line."""
    began = time.perf_counter()
    started = 0.0
    with subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if STARTED in line:
                started = time.perf_counter() - began
            if FIRST_LINE in line:
                first = time.perf_counter() - began
                process.stdout.read()
                return started, first
    raise AssertionError(f"{command} printed no first line")


def main() -> None:
    """Measure both commands in turn, print, and write `docs/benchmarks/submission.*`."""
    machine = report.machine("ray")
    with tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder:
        taken = _rounds(Path(folder))
    lines = [
        [name, *(f"{statistics.median(values):.2f}" for values in zip(*rounds, strict=True))]
        for name, rounds in taken.items()
    ]
    text = "\n".join(
        [
            "# From the command to the driver's first line",
            "",
            f"`python -m tests.benchmark.submission`: medians of {ROUNDS} rounds, in which both commands send the same",
            f"job to the same Ray in turn. {report.described(machine)}",
            "",
            report.table(["command", "the log begins, s", "the driver's first line, s"], lines),
            "",
        ]
    )
    print(text)  # noqa: T201
    report.write("submission", {"machine": machine, "seconds": taken}, text, {})


def _rounds(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """The times of each round, by command."""
    local, work = LocalFolder(folder / "platform"), folder / "work"
    for made in (local.folder, work):
        made.mkdir()
    (work / "houses.csv").write_text("rooms,sold\n1,yes\n")
    with local.run_platform():
        address, token = local.endpoints.ray_url, local.endpoints.ray_token
        commands = {
            "manta train": [str(MANTA), "train", *OPTIONS, "--address", address],
            "ray job submit": [
                *(str(MANTA.parent / "ray"), "job", "submit", "--address", address, "--working-dir", "."),
                *("--", "python", "-m", "app.train", *OPTIONS),
            ],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                taken[name].append(seconds(command, token, work))
    return taken


if __name__ == "__main__":
    main()
