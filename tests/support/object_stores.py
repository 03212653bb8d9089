"""Servers with the APIs of Amazon's and Google's object stores, as processes on the loopback address.

They run in an environment of their own, because their packages need older versions of packages that the project uses.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.waiting import wait_until

BIN = Path(__file__).parents[2] / ".venv" / "stores" / "bin"


@contextmanager
def s3_server(log: Path, host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """A server of moto on an address of this machine; yields its URL. It keeps its objects in memory."""
    port = port or _free_port()
    url = f"http://{host}:{port}"
    with _running(["moto_server", "-H", host, "-p", str(port)], url, log):
        yield url


@contextmanager
def google_server(log: Path, *, bucket: str) -> Iterator[str]:
    """A server with one bucket; yields host and port."""
    port = _free_port()
    arguments = ["start", "--host=127.0.0.1", f"--port={port}", "--in-memory", f"--default-bucket={bucket}"]
    with _running(["gcp-storage-emulator", *arguments], f"http://127.0.0.1:{port}", log):
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(command: list[str], url: str, log: Path) -> Iterator[None]:
    assert BIN.exists(), "make .venv/.stores installs the servers"
    with log.open("wb") as output:
        process = subprocess.Popen([BIN / command[0], *command[1:]], stdout=output, stderr=output)
    try:
        wait_until(lambda: process.poll() is not None or httpx.get(url), what=f"{command[0]} at {url}")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
