"""Starts the platform's processes and stops exactly those, also after a crash of the command.

Every process has the platform's id in its environment, and its child processes inherit it, however deep Ray nests
them. To stop the platform, all processes with this id and their children are stopped: by the command itself, or by
`app.cli.local.watcher` if the command is gone.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

PLATFORM_ID_VARIABLE: Final = "MANTA_PLATFORM"
"""Environment variable with the platform's id."""

GRACE_S: Final = 5.0
"""Time between SIGTERM and SIGKILL."""

MAX_KILL_ROUNDS: Final = 5
"""Largest number of rounds in which the remaining processes get SIGKILL."""

LOG_TAIL_LINES: Final = 15
"""Number of log lines that an error message repeats."""


class Processes:
    """The processes of one platform. Leaving the `with` block stops them all.

    Args:
        environment: Environment variables for every process, in addition to those of this process.
        logs: Folder for the log files, one per process.
        scratch: Folder that the watcher removes if the command crashes.
    """

    def __init__(self, environment: Mapping[str, str], *, logs: Path, scratch: Path) -> None:
        self._platform_id = secrets.token_hex(16)
        self._environment = {**os.environ, **environment, PLATFORM_ID_VARIABLE: self._platform_id}
        self._logs = logs
        self._scratch = scratch
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        # In a separate session, the watcher survives when a terminal or a shell ends its whole process group.
        self._watcher = subprocess.Popen(
            [sys.executable, "-m", "app.cli.local.watcher", self._platform_id, str(self._scratch)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop_processes(self._platform_id)
        if self._watcher is not None and self._watcher.stdin is not None:
            self._watcher.stdin.close()
            self._watcher.wait(timeout=2 * GRACE_S)

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that writes its output to `NAME.log`.

        The process gets a separate session, so Ctrl-C reaches only the command, which then stops all processes.

        Args:
            name: Name of the process.
            command: The program and its arguments.
            environment: Environment variables of this process only.
        """
        with self.log_file(name).open("wb") as log:
            return subprocess.Popen(
                command,
                env=self._environment | dict(environment or {}),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def log_file(self, name: str) -> Path:
        """Log file of a process."""
        return self._logs / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """Last lines of a process's log."""
        with suppress(OSError):
            lines = self.log_file(name).read_text(errors="replace").splitlines()
            return "\n".join(lines[-LOG_TAIL_LINES:])
        return ""


def end_session(leader: subprocess.Popen[bytes]) -> None:
    """Kill the remaining processes of a session.

    Args:
        leader: First process of the session, which has ended; see `Processes.start`.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # the process has ended, or belongs to another user
            if os.getsid(process.pid) == leader.pid:
                process.kill()


def stop_processes(platform_id: str) -> None:
    """Stop all processes of a platform: SIGTERM first, and SIGKILL after `GRACE_S` for those that still run.

    Ray may start another HAProxy while Ray stops, and that HAProxy would continue to run. So the search and SIGKILL are
    repeated until the platform has no process left, at most `MAX_KILL_ROUNDS` times.
    """
    processes: set[psutil.Process] = set()
    for send_signal in (psutil.Process.terminate, *[psutil.Process.kill] * MAX_KILL_ROUNDS):
        # Ray's agents overwrite their environment with their process title. `_find_processes` finds them as children
        # of a process with the id, as long as that process lives.
        processes |= _find_processes(platform_id)
        if not processes:
            return
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                send_signal(process)
        _, alive = psutil.wait_procs(processes, timeout=GRACE_S)
        processes = set(alive)


def _find_processes(platform_id: str) -> set[psutil.Process]:
    """All processes with the platform's id except this process, and their children."""
    matches: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # the process has ended, or belongs to another user
            if process.pid != os.getpid() and process.environ().get(PLATFORM_ID_VARIABLE) == platform_id:
                matches |= {process, *process.children(recursive=True)}
    return matches
