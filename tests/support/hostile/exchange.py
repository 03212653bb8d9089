"""A client that breaks the rules of HTTP: it writes any bytes at any pace, and leaves at any point."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tests.support.hostile.body import CLOSED, Body

CHUNK_BYTES: Final = 64 * 1024
"""Size of one write to the socket."""
UNANSWERED: Final = -1
"""Status of a connection without an answer when the client gave up."""
PROBLEM: Final = "application/problem+json"
HEAD_LIMIT_BYTES: Final = 1024**2


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a client received."""

    status: int
    """HTTP status, `CLOSED` or `UNANSWERED`."""
    content_type: str = ""
    content: bytes = b""
    duration_s: float
    """Seconds from the first byte of the request to the end of the answer."""

    @property
    def title(self) -> str:
        """Title of the problem document; the content type if it is none."""
        if self.status in (CLOSED, UNANSWERED):
            return {CLOSED: "closed", UNANSWERED: "no answer"}[self.status]
        return str(json.loads(self.content)["title"]) if self.content_type == PROBLEM else self.content_type

    @property
    def has_a_reason(self) -> bool:
        """Whether the answer is a problem document with its three parts."""
        if self.content_type != PROBLEM:
            return False
        document = json.loads(self.content)
        return document["status"] == self.status and bool(document["detail"]) and bool(document["next_step"])


@dataclass(frozen=True, kw_only=True)
class Target:
    """An address of the service."""

    host: str
    port: int
    prefix: str
    """Path of the API."""

    @classmethod
    def of(cls, url: str) -> "Target":
        """Split the URL of the API."""
        parts = urlsplit(url)
        return cls(host=parts.hostname or "", port=parts.port or 80, prefix=parts.path)

    def head(self, body: Body, length: int | None) -> bytes:
        """The request line and the headers of a POST request.

        Args:
            body: The kind of body.
            length: Value of `Content-Length`; None sends the body in chunks. Headers of the body come before it.
        """
        headers = [("Host", f"{self.host}:{self.port}"), ("Connection", "close"), *body.headers]
        if body.content_type is not None:
            headers.append(("Content-Type", body.content_type))
        if not {"Content-Length", "Transfer-Encoding"} & {name for name, _ in body.headers}:
            chunked = ("Transfer-Encoding", "chunked")
            headers.append(chunked if length is None else ("Content-Length", str(length)))
        lines = [f"POST {self.prefix}{body.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def messages(target: Target, body: Body, sizes: Iterable[int]) -> list[list[bytes]]:
    """Build a request of each size, as the parts that `exchange` sends one after the other."""
    result = []
    for size in sizes:
        content = body.content(size)
        parts = [content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES)]
        if body.is_chunked:
            parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]
        result.append([target.head(body, None if body.is_chunked else len(content)), *parts])
    return result


async def exchange(target: Target, parts: Sequence[bytes], *, timeout_s: float, pause_s: float = 0) -> Answer:
    """Send a request and read the answer, which may come before the request is complete.

    Args:
        target: The service.
        parts: The bytes of the request.
        timeout_s: Time after which the client gives up.
        pause_s: Pause after each part.
    """
    start_s = time.monotonic()
    async with _connection(target) as (reader, writer):
        sending = asyncio.create_task(_send(writer, parts, pause_s))
        try:
            answer = await asyncio.wait_for(_read(reader, start_s), timeout_s)
        except TimeoutError:
            answer = Answer(status=UNANSWERED, duration_s=time.monotonic() - start_s)
        except (OSError, asyncio.IncompleteReadError):
            answer = Answer(status=CLOSED, duration_s=time.monotonic() - start_s)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    return answer


async def send_at_once(
    target: Target, body: Body, sizes: Iterable[int], *, times: int, timeout_s: float
) -> list[Answer]:
    """Send a body of each size several times at once, each on a new connection.

    Args:
        target: The service.
        body: The kind of body.
        sizes: Sizes in bytes.
        times: Number of requests of each size.
        timeout_s: Time after which the client gives up.
    """
    requests = messages(target, body, sizes)
    return await asyncio.gather(
        *(exchange(target, parts, timeout_s=timeout_s) for parts in requests for _ in range(times))
    )


async def hang_up(target: Target, parts: Sequence[bytes], *, read_bytes: int = 0) -> None:
    """Send the beginning of a request, read the beginning of the answer, and reset the connection."""
    async with _connection(target) as (reader, writer):
        await _send(writer, parts, 0)
        if read_bytes:
            await asyncio.wait_for(reader.read(read_bytes), 30)
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, parts: Sequence[bytes], pause_s: float) -> None:
    with contextlib.suppress(OSError):  # the service answered early and closed the connection
        for part in parts:
            writer.write(part)
            await writer.drain()
            if pause_s:
                await asyncio.sleep(pause_s)


@contextlib.asynccontextmanager
async def _connection(target: Target) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(target.host, target.port, limit=HEAD_LIMIT_BYTES)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, start_s: float) -> Answer:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        if status >= 200:
            break
    fields = (line.split(":", 1) for line in head.split("\r\n")[1:] if line)
    headers = {name.lower(): value.strip() for name, value in fields}
    if "content-length" in headers:
        content = await reader.readexactly(int(headers["content-length"]))
    else:
        content = await reader.read()
    return Answer(
        status=status,
        content_type=headers.get("content-type", "").partition(";")[0],
        content=content,
        duration_s=time.monotonic() - start_s,
    )
