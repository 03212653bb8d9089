"""Load on loopback: as fast as answers come (wrk), and at a constant rate, whatever the answers take."""

import asyncio
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

SCRIPT: Final = """
local file = io.open(os.getenv("BODY"), "rb")
wrk.method, wrk.body = "POST", file:read("*a")
wrk.headers["Content-Type"] = "application/json"
file:close()
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"answers": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
"""What wrk does; its answer is one line that begins with RESULT."""

OPEN_CONNECTIONS: Final = 64
"""Connections of the constant rate: it falls behind only where so many requests wait for their answers."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a load met."""

    per_second: float
    """Answers."""
    p50_ms: float
    p99_ms: float
    failed: int
    """Requests without a good answer."""

    def figures(self) -> dict[str, Any]:
        """The same, rounded."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def closed(url: str, body: bytes, *, connections: int, seconds: float) -> Measured:
    """Keep every connection busy: a new request follows each answer at once.

    Raises:
        SystemExit: There is no wrk.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("There is no wrk on this machine. Install it, as with: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        script, content = Path(folder) / "post.lua", Path(folder) / "body"
        script.write_text(SCRIPT)
        content.write_bytes(body)
        ended = subprocess.run(
            [wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(script), url],
            env={"BODY": str(content)},
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
    line = next(line for line in ended.stdout.splitlines() if line.startswith("RESULT "))
    found = json.loads(line.removeprefix("RESULT "))
    return Measured(
        per_second=found["answers"] / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        failed=found["failed"],
    )


def at_rate(url: str, body: bytes, *, rate: float, seconds: float) -> Measured:
    """Send requests at even times, and count each one's time from when it was due, so that waiting counts."""
    return asyncio.run(_at_rate(url, body, rate, seconds))


async def _at_rate(url: str, body: bytes, rate: float, seconds: float) -> Measured:
    address = urlsplit(url)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    message = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(OPEN_CONNECTIONS):
        free.put_nowait(_Connection(address.hostname or "", address.port or 80))
    times: list[float] = []
    failures: list[str] = []
    start = time.perf_counter()

    async def send(due: float) -> None:
        connection = await free.get()
        try:
            await connection.ask(message)
            times.append(time.perf_counter() - due)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            connection.close()
            failures.append(repr(error))
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as tasks:
        for index in range(int(rate * seconds)):
            due = start + index / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(send(due))
    elapsed = time.perf_counter() - start
    while not free.empty():
        free.get_nowait().close()
    if len(times) < 2:
        raise SystemExit(f"{url} does not answer: {failures[:3]}")
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return Measured(per_second=len(times) / elapsed, p50_ms=cuts[49] * 1e3, p99_ms=cuts[98] * 1e3, failed=len(failures))


class _Connection:
    """A connection that is opened when it is first used, and again after a failure."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, message: bytes) -> None:
        """Send a request, and read its whole answer, which must be a good one."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(message)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(head.split(b"\r\n")[0].decode())

    def close(self) -> None:
        """Let go of it; the next request opens it anew."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
