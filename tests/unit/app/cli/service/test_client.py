import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.cli.endpoints import Endpoints
from app.cli.service import client
from app.errors import PlatformError

TIMEOUT_S = 0.2


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "API_TIMEOUT_S", TIMEOUT_S)


@contextmanager
def service(answer: bytes, *, delay_s: float = 0.0) -> Iterator[Endpoints]:
    """A service that waits, sends these bytes as its answer to one request, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                time.sleep(delay_s)
                if answer:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Endpoints(serve_url=f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()


def http_answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


def test_a_load_is_awaited_for_as_long_as_the_service_needs() -> None:
    with service(http_answer(b'{"model_loaded": true}'), delay_s=3 * TIMEOUT_S) as endpoints:
        document = client.call(endpoints, "POST", client.LOAD_PATH)

    assert document == {"model_loaded": True}


@pytest.mark.parametrize(
    ("path", "answer", "delay_s"),
    [("/predict", http_answer(b"{}"), 3 * TIMEOUT_S), (client.LOAD_PATH, b"", 0.0)],
    ids=["silent", "connection closed"],
)
def test_a_request_without_an_answer_may_still_be_processed(path: str, answer: bytes, delay_s: float) -> None:
    with service(answer, delay_s=delay_s) as endpoints, pytest.raises(PlatformError) as error:
        client.call(endpoints, "POST", path)

    assert "accepted the request, but gave no answer" in error.value.detail
    assert ".." not in error.value.detail  # httpx ends some of its messages with a full stop
    assert "manta status" in error.value.next_step


def test_an_answer_of_a_proxy_that_is_not_json_has_its_status_in_the_error() -> None:
    with (
        service(http_answer(b"<html>", "504 Gateway Time-out")) as endpoints,
        pytest.raises(PlatformError, match=r"status 504 and is not JSON.*manta status"),
    ):
        client.call(endpoints, "POST", client.LOAD_PATH)


def test_a_service_that_is_down_is_an_error_that_says_how_to_start_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoints = Endpoints(serve_url=f"http://127.0.0.1:{server.getsockname()[1]}")

    with pytest.raises(PlatformError, match=r"does not answer.*manta local"):
        client.call(endpoints, "GET", "/model")
