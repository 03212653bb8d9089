"""`manta local --drift-every`: judges the champions, and retrains if it is due, while the platform runs."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Final, Literal

import typer

from app import names
from app.cli.local.processes import Processes
from app.cli.progress import console
from app.errors import ParameterError
from app.records.period import parse_period

POLL_S: Final = 1.0
"""Pause between two checks whether a judgement has ended."""

TIMEOUT_S: Final = 7200.0
"""Time after which a judgement, or the training that it began, is stopped."""

STOP_S: Final = 10.0
"""Time in which the process must have stopped its Ray job, before the process is killed."""

SHORTEST: Final = timedelta(minutes=5)
"""Shortest pause between two judgements."""

PROCESS: Final = "drift"
"""Name of the process; its output is in `logs/drift.log`."""

USER: Final = "drift-schedule"
"""User of the jobs, as on a stack."""

RetrainOnOption = Annotated[
    Literal["score", "drift", "never"],
    typer.Option(
        metavar="score|drift|never",
        help="With --drift-every: train again after two judgements in succession in which the score fell (score), or "
        "which found any drift (drift).",
    ),
]


def parse_interval(text: str) -> timedelta | None:
    """Parse the value of `--drift-every`. Empty: no schedule.

    Raises:
        ParameterError: The text is no period, or the period is too short.
    """
    if not text:
        return None
    interval = parse_period(text, example="--drift-every 1h")
    if interval < SHORTEST:
        raise ParameterError(
            f"--drift-every {text} is too short.", allowed=f"{SHORTEST.seconds // 60}m or more", next_step="Use 1h."
        )
    return interval


def check(interval: timedelta | None, prediction_log: str) -> None:
    """Check that a schedule has a log to read.

    Raises:
        ParameterError: The prediction log is off.
    """
    if interval is not None and prediction_log == names.LOG_OFF:
        raise ParameterError(
            "--drift-every cannot be used with --prediction-log off.", next_step="Drop one of the two options."
        )


async def judge_forever(processes: Processes, interval: timedelta | None, *, ray_url: str) -> None:
    """Judge the champions again after each interval, and print the whole output. Without an interval, do nothing.

    A judgement or a training that fails does not end the schedule. Both are stopped after `TIMEOUT_S`, or when this
    task is cancelled.

    Args:
        processes: Starts the process that submits the jobs.
        interval: Pause before each judgement.
        ray_url: URL of Ray's dashboard.
    """
    while interval is not None:
        await asyncio.sleep(interval.total_seconds())
        process = processes.start(
            PROCESS,
            [sys.executable, "-m", "app.cli.jobs.drift", "--address", ray_url],
            environment={"MANTA_USER": USER},
        )
        try:
            await _wait(process, TIMEOUT_S)
        except TimeoutError:
            console.print(f"The judgement of drift, or its training, was stopped after {TIMEOUT_S / 60:.0f} minutes.")
        finally:
            await _stop(process)
        console.print(processes.log_file(PROCESS).read_text(errors="replace").rstrip(), markup=False)


async def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Wait until a process has ended.

    Raises:
        TimeoutError: The process still runs.
    """
    async with asyncio.timeout(timeout_s):
        while process.poll() is None:  # noqa: ASYNC110 - a process has no event, and a thread would delay Ctrl-C
            await asyncio.sleep(POLL_S)


async def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a process if it still runs: SIGTERM lets it stop its Ray job, and SIGKILL follows after `STOP_S`."""
    if process.poll() is not None:
        return
    process.terminate()
    with suppress(TimeoutError):
        await _wait(process, STOP_S)
    if process.poll() is None:
        process.kill()
        process.wait()
