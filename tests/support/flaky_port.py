"""A port that forwards to a server and drops all its connections at regular intervals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

OPEN_S = 0.9
CLOSED_S = 0.4


class FlakyPort:
    """The port, and how often its connections were dropped."""

    port: int = 0
    cuts: int = 0


@asynccontextmanager
async def flaky_port(upstream: int) -> AsyncIterator[FlakyPort]:
    """Forward a free port of the loopback interface to another port, with an interruption every `OPEN_S` seconds.

    For `CLOSED_S` seconds after each interruption, connections are refused.
    """
    flaky = FlakyPort()
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", upstream)
        writers.update({writer, upstream_writer})
        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

    async def interrupt_forever() -> None:
        while True:
            server = await asyncio.start_server(accept, "127.0.0.1", flaky.port)
            flaky.port = server.sockets[0].getsockname()[1]
            is_open.set()
            try:
                await asyncio.sleep(OPEN_S)
            finally:
                server.close()
                for writer in writers:
                    writer.transport.abort()
                writers.clear()
            flaky.cuts += 1
            await asyncio.sleep(CLOSED_S)

    is_open = asyncio.Event()
    task = asyncio.create_task(interrupt_forever())
    await is_open.wait()
    yield flaky
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
