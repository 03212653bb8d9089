"""A way to a server that is cut again and again: every connection is closed, and none is taken for a moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

OPEN_S = 0.9
SHUT_S = 0.4


class Cut:
    """The port that leads to the server, and how often it was cut."""

    port: int = 0
    times: int = 0


@asynccontextmanager
async def cutting(upstream: int) -> AsyncIterator[Cut]:
    """Lead from a port of loopback to another one, and cut the way at intervals."""
    cut = Cut()
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", upstream)
        writers.update({writer, back})
        await asyncio.gather(pump(reader, back), pump(there, writer))

    async def keep_cutting() -> None:
        while True:
            server = await asyncio.start_server(accept, "127.0.0.1", cut.port)
            cut.port = server.sockets[0].getsockname()[1]
            opened.set()
            try:
                await asyncio.sleep(OPEN_S)
            finally:
                server.close()
                for writer in writers:
                    writer.transport.abort()
                writers.clear()
            cut.times += 1
            await asyncio.sleep(SHUT_S)

    opened = asyncio.Event()
    task = asyncio.create_task(keep_cutting())
    await opened.wait()
    yield cut
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
