import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from app.cli.stack import tunnels
from app.cli.stack.outputs import Tunnel
from app.cli.stack.tunnels import TunnelError

SERVER = """
import http.server, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(404)
        self.end_headers()
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
if sys.argv[2] == "drops":
    threading.Timer(1, server.shutdown).start()
server.serve_forever()
print("lost connection to pod", file=sys.stderr)
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that listens on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def tunnel(listener: socket.socket) -> Tunnel:
    """A tunnel whose local port is free."""
    port = int(listener.getsockname()[1])
    listener.close()
    return Tunnel(name="ray", namespace="manta", service="head", port=8265, local_port=port)


def _program(tunnel: Tunnel, behaviour: str) -> list[str]:
    return [sys.executable, "-c", SERVER, str(tunnel.local_port), behaviour]


async def _first_messages(tunnel: Tunnel, behaviour: str, count: int) -> list[str]:
    """Keep a tunnel open until it has reported a number of messages."""
    messages: list[str] = []
    is_complete = asyncio.Event()

    def report(message: str) -> None:
        messages.append(message)
        if len(messages) == count:
            is_complete.set()

    keeping_open = asyncio.create_task(tunnels.keep_open(tunnel, _program(tunnel, behaviour), report))
    await asyncio.wait_for(is_complete.wait(), timeout=60)
    keeping_open.cancel()
    await asyncio.gather(keeping_open, return_exceptions=True)
    return messages


def test_a_tunnel_that_drops_is_opened_again(tunnel: Tunnel) -> None:
    messages = asyncio.run(_first_messages(tunnel, "drops", count=3))

    open_message = f"ray: http://localhost:{tunnel.local_port} leads to head:8265"
    assert messages == [open_message, "ray: dropped (lost connection to pod); opening it again", open_message]


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_closes_every_tunnel(tunnel: Tunnel, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(tunnels, "kubectl_command", lambda tunnel, _: _program(tunnel, "stays"))
    messages: list[str] = []

    def report(message: str) -> None:
        messages.append(message)
        if len(messages) == 1:
            for number in range(times):
                asyncio.get_running_loop().call_later(number * 0.01, os.kill, os.getpid(), signal.SIGINT)

    asyncio.run(tunnels.keep_all_open([tunnel], context="minikube", report=report))

    assert messages[-1] == "closed"
    tunnels.check_ports([tunnel])


def test_a_port_in_use_is_an_error_that_suggests_another_port(listener: socket.socket) -> None:
    port = int(listener.getsockname()[1])
    tunnel = Tunnel(name="serve", namespace="manta", service="serve", port=8000, local_port=port)

    with pytest.raises(TunnelError, match=rf"Port {port} .* is in use.*--serve-port"):
        tunnels.check_ports([tunnel])
