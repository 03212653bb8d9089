"""`manta local --drift-every`: judges the champions at regular intervals while the platform runs."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from typing import Final

from app import names
from app.cli.local.processes import Processes
from app.cli.progress import console
from app.errors import ParameterError
from app.records.period import parse_period

POLL_S: Final = 1.0
"""Pause between two checks whether a judgement has ended."""

TIMEOUT_S: Final = 1800.0
"""Time after which a judgement is stopped."""

SHORTEST: Final = timedelta(minutes=5)
"""Shortest pause between two judgements."""

PROCESS: Final = "drift"
"""Name of the process; its output is in `logs/drift.log`."""


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


async def judge_forever(processes: Processes, interval: timedelta | None) -> None:
    """Judge the champions again after each interval, and print the whole output. Without an interval, do nothing.

    A judgement that fails does not end the schedule. A judgement is stopped after `TIMEOUT_S`.
    """
    while interval is not None:
        await asyncio.sleep(interval.total_seconds())
        process = processes.start(PROCESS, [sys.executable, "-m", "app.drift.scheduled"])
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while process.poll() is None:  # noqa: ASYNC110 - a process has no event, and a thread would delay Ctrl-C
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            _stop(process)
            console.print(f"The judgement of drift was stopped after {TIMEOUT_S / 60:.0f} minutes.")
        console.print(processes.log_file(PROCESS).read_text(errors="replace").rstrip(), markup=False)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
