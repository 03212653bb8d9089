"""From the command to the driver's first line: `manta train` against Ray's own command line, on one local Ray."""

import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.local import MANTA, Local, clean_environment

ROUNDS = 5
OPTIONS = ("--dataset", "none-such")
FIRST_LINE = "There is no bundled data set 'none-such'"
"""What the driver says first, and last: the same in both jobs."""
STARTED = "Running entrypoint for job"


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


def test_the_drivers_first_line_comes_sooner_than_by_ray_job_submit(tmp_path: Path) -> None:
    local = Local(tmp_path / "platform")
    work = tmp_path / "work"
    for folder in (local.folder, work):
        folder.mkdir()
    (work / "houses.csv").write_text("rooms,sold\n1,yes\n")
    with local.started():
        address, token = local.target.ray_url, local.target.ray_token
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

    medians = {
        name: [statistics.median(values) for values in zip(*rounds, strict=True)] for name, rounds in taken.items()
    }
    print(  # noqa: T201 - what a benchmark is for
        *(f"{name}: log begins {begun:.2f} s, first line {first:.2f} s" for name, (begun, first) in medians.items()),
        sep="\n",
    )
    assert medians["manta train"][1] < medians["ray job submit"][1]
    assert medians["manta train"][0] < medians["ray job submit"][0]
