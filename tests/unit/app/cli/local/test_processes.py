import os
import subprocess

import psutil
import pytest

from app.cli.local import processes
from app.cli.local.processes import PLATFORM_ID_VARIABLE, stop_processes

PLATFORM_ID = "0123456789abcdef"


def start(*, platform_id: str = PLATFORM_ID, script: str = "") -> "subprocess.Popen[bytes]":
    """Start a process that stands in for HAProxy, and wait until it has run the script."""
    environment = {"PATH": os.defpath, PLATFORM_ID_VARIABLE: platform_id}
    command = ["sh", "-c", f"{script or ':'}; echo started; exec sleep 600"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    return process


def test_a_process_that_starts_while_the_others_are_killed_is_stopped_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started = [start(script="trap '' TERM")]
    waits: list[set[psutil.Process]] = []

    def wait(waited: set[psutil.Process], timeout: float) -> object:
        result = wait_procs(waited, timeout)
        waits.append(waited)
        if len(waits) == 2:  # after the first SIGKILL
            started.append(start())
        return result

    wait_procs = psutil.wait_procs
    monkeypatch.setattr(psutil, "wait_procs", wait)
    monkeypatch.setattr(processes, "GRACE_S", 0.2)

    stop_processes(PLATFORM_ID)

    assert [process.poll() is None for process in started] == [False, False]


def test_a_process_of_another_platform_continues() -> None:
    process = start(platform_id="another")

    stop_processes(PLATFORM_ID)

    assert process.poll() is None
    stop_processes("another")
    assert process.poll() is not None
