import asyncio
import socket
from asyncio import base_events

import pytest

from app.cli.ports import LOOPBACK
from app.serving.middleware import middlewares


async def _nodelay_of_a_connection(listener: socket.socket) -> int:
    """Accept a connection with asyncio, and return its option TCP_NODELAY."""
    options = asyncio.Queue[int]()

    def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        options.put_nowait(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(on_connection, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        option = await options.get()
        writer.close()
        await writer.wait_closed()
    return option


def test_answers_to_connections_of_a_socket_without_a_protocol_are_not_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_events, "_set_nodelay", base_events._set_nodelay)  # type: ignore[attr-defined] # private
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # as Ray creates it
    listener.bind((LOOPBACK, 0))

    middlewares()

    assert asyncio.run(_nodelay_of_a_connection(listener))
