"""Switches Nagle's algorithm off for the connections of Serve's HTTP servers.

uvicorn writes the head and the body of an answer one after the other. With Nagle's algorithm the body waits until the
client acknowledges the head, which Linux delays by 40 ms. asyncio switches the algorithm off only on sockets that name
the protocol TCP, and Ray (`start_asgi_http_server`) creates its sockets without a protocol.
"""

import socket
from asyncio import base_events
from typing import Final

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
"""Address families of TCP sockets."""


def install() -> None:
    """Let asyncio switch the algorithm off on every TCP socket of this process. uvloop does so already."""
    # asyncio has no public setting for it, and Ray gives no access to its sockets.
    base_events._set_nodelay = _set_nodelay  # type: ignore[attr-defined]  # noqa: SLF001 - see above


def _set_nodelay(connection: socket.socket) -> None:
    if connection.family in FAMILIES and connection.type == socket.SOCK_STREAM:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
