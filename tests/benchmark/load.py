"""Load on the loopback address: closed loop with wrk, and open loop at a constant rate."""

import asyncio
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.support.json_object import JsonObject

SCRIPT: Final = """
local requests, sent = {}, 0
function init()
  wrk.headers["Content-Type"] = "application/json"
  for body in io.lines(os.getenv("BODIES")) do
    requests[#requests + 1] = wrk.format("POST", nil, nil, body)
  end
end
function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"answers": %d, "seconds": %f, "failed": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
"""Script for wrk, which prints one line that begins with RESULT."""

OPEN_CONNECTIONS: Final = 64
"""Connections of the open loop. The load falls behind its rate only if this many requests wait for a response."""


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """Throughput and latency under load."""

    per_second: float
    """Responses per second."""
    p50_ms: float
    p99_ms: float
    failed: int
    """Requests without a response of status 200."""

    def rounded(self) -> JsonObject:
        """The figures, rounded to three decimals."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def run_closed_loop(url: str, *bodies: bytes, connections: int, seconds: float) -> LoadResult:
    """Keep every connection busy: each response is followed by the next request at once.

    Args:
        url: URL of the requests.
        *bodies: The bodies of the requests, one after the other and again: JSON on one line.
        connections: Number of connections.
        seconds: Duration.

    Raises:
        SystemExit: wrk is not installed.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is not installed on this machine. Install it, for example with: apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder) / "post.lua", Path(folder) / "bodies"
        script.write_text(SCRIPT)
        lines.write_bytes(b"\n".join(bodies))
        process = subprocess.run(
            [wrk, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(script), url],
            env={"BODIES": str(lines)},
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
    line = next(line for line in process.stdout.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    return LoadResult(
        per_second=result["answers"] / result["seconds"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        failed=result["failed"],
    )


def run_at_rate(url: str, body: bytes, *, rate: float, seconds: float) -> LoadResult:
    """Send requests at a constant rate.

    The latency of a request counts from the time when it was due, so that it includes the wait for a connection.
    """
    return asyncio.run(_run_at_rate(url, body, rate, seconds))


async def _run_at_rate(url: str, body: bytes, rate: float, seconds: float) -> LoadResult:
    address = urlsplit(url)
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
    message = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    idle_connections: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(OPEN_CONNECTIONS):
        idle_connections.put_nowait(_Connection(address.hostname or "", address.port or 80))
    latencies_s: list[float] = []
    failures: list[str] = []
    start_s = time.perf_counter()

    async def send(due_s: float) -> None:
        connection = await idle_connections.get()
        try:
            await connection.request(message)
            latencies_s.append(time.perf_counter() - due_s)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            connection.close()
            failures.append(repr(error))
        idle_connections.put_nowait(connection)

    async with asyncio.TaskGroup() as tasks:
        for index in range(int(rate * seconds)):
            due_s = start_s + index / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            tasks.create_task(send(due_s))
    elapsed_s = time.perf_counter() - start_s
    while not idle_connections.empty():
        idle_connections.get_nowait().close()
    if len(latencies_s) < 2:
        raise SystemExit(f"{url} does not answer: {failures[:3]}")
    percentiles = statistics.quantiles(latencies_s, n=100, method="inclusive")
    return LoadResult(
        per_second=len(latencies_s) / elapsed_s,
        p50_ms=percentiles[49] * 1e3,
        p99_ms=percentiles[98] * 1e3,
        failed=len(failures),
    )


class _Connection:
    """An HTTP connection that is opened at its first request, and again after a failure."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, message: bytes) -> None:
        """Send a request, and read the whole response.

        Raises:
            ValueError: The status of the response is not 200.
            OSError: The connection failed.
            IncompleteReadError: The server closed the connection.
        """
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
        """Close the connection; the next request opens it again."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
