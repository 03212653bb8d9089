"""Prediction requests at a constant rate during a test."""

import ssl
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Final, Self

import httpx

from tests.support.json_object import JsonObject

NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""An empty TLS context for plain HTTP. Without it, every httpx client reads all certificates of the machine."""


class PredictionTraffic:
    """Sends predictions at a constant rate until the block ends, each on a new connection, as many clients would.

    Args:
        url: URL of `/predict`.
        message: Body of each request.
        rate: Requests per second.
        timeout_s: Time after which a request counts as failed.
        token: Bearer token of each request; empty for none.
        host: Host name of the service, if the URL has the address of a proxy.
        tls: TLS context for a URL with https.
    """

    def __init__(
        self,
        url: str,
        message: JsonObject,
        *,
        rate: float = 10,
        timeout_s: float = 10,
        token: str = "",
        host: str = "",
        tls: ssl.SSLContext = NO_TLS,
    ) -> None:
        self._url, self._message, self._timeout_s = url, message, timeout_s
        self.rate = rate
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._headers |= {"Host": host} if host else {}
        self._extensions = {"sni_hostname": host} if host else {}
        self._tls = tls
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._clock = threading.Thread(target=self._run)
        self.sent = 0
        self.answered: list[str] = []
        """Id of each request that got a prediction."""
        self.failures: Counter[str] = Counter()
        """Failed requests by reason."""

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._clock.join()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> int:
        """Number of requests that got no prediction."""
        return sum(self.failures.values())

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._send)
            thread.start()
            self._threads.append(thread)
            due += 1 / self.rate
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _send(self) -> None:
        reason = request_id = ""
        try:
            with httpx.Client(timeout=self._timeout_s, verify=self._tls) as client:
                answer = client.post(self._url, json=self._message, headers=self._headers, extensions=self._extensions)
            request_id = answer.headers.get("x-request-id", "")
            if answer.status_code != httpx.codes.OK:
                reason = f"status {answer.status_code}: {answer.text[:120]}"
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__}: {error}"
        with self._lock:
            self.sent += 1
            if reason:
                self.failures[reason] += 1
            else:
                self.answered.append(request_id)
