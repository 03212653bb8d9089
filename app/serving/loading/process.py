"""The replica's side of the process that forks a child for each load; see `app.serving.loading.fork_server`."""

import asyncio
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import app
from app.settings import loading_environment

KILL_TIMEOUT_S: Final = 5.0
"""How long the fork server may take to kill a child before it is killed itself."""


class ForkServerEndedError(Exception):
    """The fork server ended, and its children with it."""


class ForkServerProcess:
    """The fork server of one replica. It is started again if it has ended.

    Args:
        folder: Folder of all loads. The server deletes it when it ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, asyncio.Future[int | None]] = {}
        """The exit status of each child, by the folder of its load; None if the server ended before the child."""
        self._connecting = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._start()

    async def run(self, folder: Path) -> int:
        """Run a child for a load, and return its exit status; see `os.waitstatus_to_exitcode`.

        The child and all processes that it started are dead when this coroutine ends, also if it is cancelled.

        Raises:
            ForkServerEndedError: The server ended before the child.
        """
        writer = await self._connect()
        ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._running[str(folder)] = ended
        writer.write(f"run {folder}\n".encode())
        try:
            status = await asyncio.shield(ended)
        finally:
            if not ended.done():
                writer.write(f"kill {folder}\n".encode())
                await asyncio.wait({ended}, timeout=KILL_TIMEOUT_S)
            if not ended.done():
                self._process.kill()
                await asyncio.wait({ended})
        if status is None:
            raise ForkServerEndedError
        return status

    async def close(self) -> None:
        """End the server and all children."""
        if self._writer is not None:
            self._writer.close()
        self._socket.close()
        await asyncio.to_thread(self._wait)
        if self._reader is not None:
            await self._reader

    def _start(self) -> None:
        self._socket, server_socket = socket.socketpair()
        with server_socket:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.serving.loading.fork_server", str(self._folder)],
                stdin=server_socket.fileno(),
                env=loading_environment(Path(app.__file__).parents[1]),
                start_new_session=True,
            )

    def _wait(self) -> None:
        try:
            self._process.wait(KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None and self._reader is not None and self._reader.done():
                self._writer.close()
                await asyncio.to_thread(self._wait)
                self._start()
                self._writer = None
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(sock=self._socket)
                self._reader = asyncio.create_task(self._read(reader))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Read the statuses until the server ends."""
        with suppress(ConnectionError):
            while line := await reader.readline():
                status, _, folder = line.decode().rstrip("\n").partition(" ")
                self._running.pop(folder).set_result(int(status))
        for ended in self._running.values():
            ended.set_result(None)
        self._running.clear()
