"""Time from the command to the driver's first output line, on a local Ray: `python -m tests.benchmark.submission`."""

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
"""The only output line of the driver, equal in both jobs."""
LOG_START: Final = "Running entrypoint for job"


def measure(command: Sequence[str], token: str, folder: Path) -> tuple[float, float]:
    """Return the seconds until the job's log begins, and until the driver's first line."""
    start_s = time.perf_counter()
    log_start_s = 0.0
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
            if LOG_START in line:
                log_start_s = time.perf_counter() - start_s
            if FIRST_LINE in line:
                first_line_s = time.perf_counter() - start_s
                process.stdout.read()
                return log_start_s, first_line_s
    raise AssertionError(f"{command} did not print {FIRST_LINE!r}")


def main() -> None:
    """Measure both commands in turn, print the page, and write `docs/benchmarks/submission.*`."""
    machine = report.read_machine("ray")
    with tempfile.TemporaryDirectory(prefix="bench", ignore_cleanup_errors=True) as folder:
        times_s = _measure_rounds(Path(folder))
    rows = [
        [name, *(f"{statistics.median(values):.2f}" for values in zip(*rounds, strict=True))]
        for name, rounds in times_s.items()
    ]
    page = "\n".join(
        [
            "# From the command to the driver's first line",
            "",
            f"`python -m tests.benchmark.submission`: medians of {ROUNDS} rounds, in which both commands send the same",
            f"job to the same Ray in turn. {report.describe_machine(machine)}",
            "",
            report.markdown_table(["command", "the log begins, s", "the driver's first line, s"], rows),
            "",
        ]
    )
    print(page)  # noqa: T201 - the result
    report.write_report("submission", {"machine": machine, "seconds": times_s}, page, {})


def _measure_rounds(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return the times of each round, by command."""
    local, working_dir = LocalFolder(folder / "platform"), folder / "work"
    local.folder.mkdir()
    working_dir.mkdir()
    (working_dir / "houses.csv").write_text("rooms,sold\n1,yes\n")
    with local.run_platform():
        address, token = local.endpoints.ray_url, local.endpoints.ray_token
        commands = {
            "manta train": [str(MANTA), "train", *OPTIONS, "--address", address],
            "ray job submit": [
                *(str(MANTA.parent / "ray"), "job", "submit", "--address", address, "--working-dir", "."),
                *("--", "python", "-m", "app.train", *OPTIONS),
            ],
        }
        times_s: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times_s[name].append(measure(command, token, working_dir))
    return times_s


if __name__ == "__main__":
    main()
