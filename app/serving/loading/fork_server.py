"""The process that forks a child for each load: `python -m app.serving.loading.fork_server FOLDER`.

It imports MLflow and scikit-learn once, so that a load does not wait for them. It is started as a fresh interpreter,
holds nothing of Ray, and loads no model itself. Its standard input is a socket to the replica. The replica writes
`run FOLDER` and `kill FOLDER`, one a line, and gets `STATUS FOLDER` when a child has ended; the status is that of
`os.waitstatus_to_exitcode`. When the replica closes the socket or dies, all children are killed, and FOLDER with the
files of the loads is deleted. Ray may kill this process together with its replica; the next replica's process deletes
what is left then.
"""

import ctypes
import faulthandler
import fcntl
import gc
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import skops.io  # noqa: F401 - its import searches all loaded modules, so MLflow's 2,000 modules come later

from app.serving.loading import child

MIN_LEFTOVER_AGE_S: Final = 60.0
"""Age in seconds from which a folder without a lock is a leftover. A younger one may not have its lock yet."""

NICENESS: Final = 5
"""The child gives way to the replica's predictions, in a container at least. Elsewhere Linux compares niceness within a
session only (`sched_autogroup`). The fork server has a session of its own all the same: in the session of the replicas,
a load would use up their share of a busy machine."""

OOM_SCORE: Final = "1000"
"""The kernel kills the process with the highest score first when memory runs out."""

PR_SET_PDEATHSIG: Final = 1
"""Option of Linux' prctl: the signal that a process gets when its parent dies."""

MESSAGE_BYTES: Final = 65536


class ForkServer:
    """Starts, kills and reaps the children of one replica.

    Args:
        replica: The socket to the replica.
    """

    def __init__(self, replica: socket.socket) -> None:
        self._replica = replica
        self._folders: dict[int, str] = {}
        """The folder of each running child, by process id."""
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Serve until the replica closes the socket or dies."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._replica, selectors.EVENT_READ)
        selector.register(self._wake_read, selectors.EVENT_READ)
        received = b""
        try:
            while True:
                selector.select()
                with suppress(BlockingIOError):
                    os.read(self._wake_read, MESSAGE_BYTES)
                self._reap()
                try:
                    content = self._replica.recv(MESSAGE_BYTES, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    continue
                if not content:
                    return
                *lines, received = (received + content).split(b"\n")
                for line in lines:
                    self._handle(line.decode())
        except (ConnectionError, BrokenPipeError):
            return
        finally:
            for pid in self._folders:
                _kill_group(pid)

    def _handle(self, line: str) -> None:
        command, _, folder = line.partition(" ")
        if command == "run":
            self._fork(folder)
            return
        for pid, running in self._folders.items():
            if running == folder:
                _kill_group(pid)

    def _fork(self, folder: str) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._run_child(folder, server)
        with suppress(OSError):  # the child did it first
            os.setpgid(pid, pid)
        self._folders[pid] = folder

    def _run_child(self, folder: str, server: int) -> NoReturn:
        """Become the child, and end without any cleanup of the server."""
        status = 1
        try:
            os.setpgid(0, 0)
            _die_with(server)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._wake_read)
            os.close(self._wake_write)
            log = os.open(Path(folder) / child.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            null = os.open(os.devnull, os.O_RDONLY)
            for source, target in ((null, 0), (log, 1), (log, 2)):  # 0 was the socket to the replica
                os.dup2(source, target)
            faulthandler.enable(file=log)
            os.nice(NICENESS)
            with suppress(OSError):  # macOS
                Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
            child.run(Path(folder))
            status = 0
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Report every child that has ended, after the end of all processes that it started."""
        for pid, folder in list(self._folders.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                _kill_group(pid)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                del self._folders[pid]
                self._replica.sendall(f"{status} {folder}\n".encode())


def main() -> None:
    """Run the server for the folder that the first argument names."""
    gc.collect()
    gc.freeze()  # keeps the memory of the imported modules shared with the children
    folder = Path(sys.argv[1])
    _delete_leftovers(folder)
    ForkServer(socket.socket(fileno=0)).serve()
    shutil.rmtree(folder, ignore_errors=True)


def _delete_leftovers(own: Path) -> None:
    """Delete the folders of replicas that were killed together with their fork servers."""
    for folder in own.parent.glob(f"{child.FOLDER_PREFIX}*"):
        with suppress(OSError):  # another replica's folder, which is locked, or one that another process deletes
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if folder != own and time.time() - os.fstat(descriptor).st_mtime > MIN_LEFTOVER_AGE_S:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _kill_group(pid: int) -> None:
    """Kill the process group of a child. The child was not reaped yet, so no other process can have its id."""
    for kill in (os.killpg, os.kill):  # the child may not have its group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def _die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent dies."""
    with suppress(AttributeError):  # macOS has no prctl
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main()
