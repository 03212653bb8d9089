import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator

import pytest

from app.cli.stack import forward
from app.cli.stack.forward import PortError
from app.cli.stack.outputs import Forward

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
    """Something that listens on a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def tunnel(listener: socket.socket) -> Forward:
    """A tunnel whose local port is free."""
    port = int(listener.getsockname()[1])
    listener.close()
    return Forward(name="ray", namespace="manta", service="head", port=8265, local_port=port)


def _program(tunnel: Forward, behaviour: str) -> list[str]:
    return [sys.executable, "-c", SERVER, str(tunnel.local_port), behaviour]


async def _said_until(tunnel: Forward, behaviour: str, lines: int) -> list[str]:
    """Hold a tunnel until it has said so many lines."""
    said: list[str] = []
    enough = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == lines:
            enough.set()

    holding = asyncio.create_task(forward.hold(tunnel, _program(tunnel, behaviour), say))
    await asyncio.wait_for(enough.wait(), timeout=60)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    return said


def test_a_tunnel_that_drops_is_opened_again(tunnel: Forward) -> None:
    said = asyncio.run(_said_until(tunnel, "drops", lines=3))

    opened = f"ray: http://localhost:{tunnel.local_port} leads to head:8265"
    assert said == [opened, "ray: dropped (lost connection to pod); opening it again", opened]


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_ends_every_tunnel(tunnel: Forward, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(forward, "command", lambda tunnel, _: _program(tunnel, "stays"))
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            for number in range(times):
                asyncio.get_running_loop().call_later(number * 0.01, os.kill, os.getpid(), signal.SIGINT)

    asyncio.run(forward.hold_all([tunnel], context="minikube", say=say))

    assert said[-1] == "closed"
    forward.check_ports([tunnel])


def test_a_busy_port_is_named_with_another_one_to_take(listener: socket.socket) -> None:
    port = int(listener.getsockname()[1])
    tunnel = Forward(name="serve", namespace="manta", service="serve", port=8000, local_port=port)

    with pytest.raises(PortError, match=rf"Port {port} .* is busy.*--serve-port"):
        forward.check_ports([tunnel])
