"""The errors of HAProxy itself, with the lines that are added to Ray's configuration."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from app.cli.local import haproxy, haproxy_errors
from app.cli.ports import LOOPBACK, free_ports
from tests.support.waiting import wait_until

CONFIGURATION = """global
    maxconn 100
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 1s
    retries 0
    errorfile 502 {page}
    errorfile 503 {page}
    errorfile 504 {page}
    balance {balance}
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend answers if {{ path_beg /busy }}
    default_backend nobody
backend nobody
    server one 127.0.0.1:{closed}
backend answers
    server one 127.0.0.1:{busy}
"""

pytestmark = pytest.mark.skipif(haproxy.binary() is None, reason="HAProxy is not available on this system")


@pytest.fixture
def busy() -> Iterator[int]:
    """The port of a server that ends the connections to `/busy/gone`, and never answers the others."""
    with socket.create_server((LOOPBACK, 0)) as server:
        connections = []

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the test has ended
                    return
                if b"/gone" in connection.recv(1000):
                    connection.close()
                else:
                    connections.append(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            connection.close()


@pytest.fixture
def port(tmp_path: Path, busy: int) -> Iterator[int]:
    """The port of an HAProxy whose timeouts are a second."""
    program = haproxy.binary()
    assert program is not None
    free, closed = free_ports(2)
    page = tmp_path / "500.http"
    page.write_text("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
    balance = haproxy_errors.balance_setting().replace(f"{haproxy_errors.HEADER_TIMEOUT_S}s", "1s")
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(page=page, balance=balance, port=free, closed=closed, busy=busy))
    process = subprocess.Popen([program, "-f", configuration])

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, free)) == 0

    wait_until(listens, what="HAProxy")
    yield free
    process.terminate()
    process.wait(timeout=10)


@pytest.mark.parametrize(("path", "status"), [("/", 503), ("/busy", 504), ("/busy/gone", 502)])
def test_an_error_without_a_replica_is_a_problem_document(port: int, path: str, status: int) -> None:
    answer = httpx.get(f"http://{LOOPBACK}:{port}{path}", timeout=10)

    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.keys() == {"type", "title", "status", "detail", "next_step"}
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)


def test_a_client_that_does_not_finish_its_headers_gets_408(port: int) -> None:
    with socket.create_connection((LOOPBACK, port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_ray_writes_the_added_lines_after_its_own_error_pages() -> None:
    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    template = (Path(spec.origin).parent / "serve/_private/haproxy_templates.py").read_text()

    assert template.rindex("errorfile 504") < template.index("balance {{ config.balance_algorithm }}")
    assert template.index("balance {{") < template.index("frontend prometheus")
