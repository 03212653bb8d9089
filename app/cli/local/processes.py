"""Starts the platform's processes, and ends every one of them and nothing else, also after a crash of the command.

Each process carries the platform's mark in its environment, and its children inherit it, however deep Ray nests
them. Whatever carries the mark is ended, with its children: by the command itself, or by `app.cli.local.watcher` once
the command is gone.
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

MARK: Final = "MANTA_PLATFORM"
"""Environment variable whose value tells the processes of one platform from all others."""

GRACE_S: Final = 5.0
"""Time that processes get to end by themselves before they are killed."""

LOG_TAIL_LINES: Final = 15
"""Lines of a process's log that an error repeats."""


class Processes:
    """The processes of one platform; leaving the block ends them all.

    Args:
        environment: Variables that every process gets beside those of this process.
        logs: Folder that holds a log file for each process.
        scratch: Folder that the watcher removes after a crash.
    """

    def __init__(self, environment: Mapping[str, str], *, logs: Path, scratch: Path) -> None:
        self._mark = secrets.token_hex(16)
        self._environment = {**os.environ, **environment, MARK: self._mark}
        self._logs = logs
        self._scratch = scratch
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        # A session of its own keeps the watcher alive when a terminal or a shell ends its whole process group.
        self._watcher = subprocess.Popen(
            [sys.executable, "-m", "app.cli.local.watcher", self._mark, str(self._scratch)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_marked(self._mark)
        if self._watcher is not None and self._watcher.stdin is not None:
            self._watcher.stdin.close()
            self._watcher.wait(timeout=2 * GRACE_S)

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to `NAME.log`.

        It gets a session of its own, so that Ctrl-C reaches the command alone, which then ends all in order.
        """
        with self.log(name).open("wb") as log:
            return subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self._logs / f"{name}.log"

    def log_tail(self, name: str) -> str:
        """The last lines that a process wrote."""
        with suppress(OSError):
            lines = self.log(name).read_text(errors="replace").splitlines()
            return "\n".join(lines[-LOG_TAIL_LINES:])
        return ""


def end_marked(mark: str) -> None:
    """End every process that carries the mark, and their children: ask first, kill what is left after `GRACE_S`."""
    known: set[psutil.Process] = set()
    for end in (psutil.Process.terminate, psutil.Process.kill):
        # Ray's agents overwrite their environment with their title: they are found as children, while those live.
        known |= _marked(mark)
        for process in known:
            with suppress(psutil.NoSuchProcess):
                end(process)
        _, alive = psutil.wait_procs(known, timeout=GRACE_S)
        known = set(alive)


def _marked(mark: str) -> set[psutil.Process]:
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # ended meanwhile, or somebody else's
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found |= {process, *process.children(recursive=True)}
    return found
