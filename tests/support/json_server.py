"""A web server that answers requests with JSON documents, in place of a service in unit tests of its clients."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.support.json_object import JsonObject

Answer = Callable[[JsonObject], JsonObject | tuple[int, JsonObject]]
"""Takes the body of a request, and gives the document of the answer, with a status other than 200 in front of it."""


@contextmanager
def json_server(answers: Mapping[str, Answer]) -> Iterator[str]:
    """Start a server on loopback.

    Args:
        answers: Answer to each request, by its method and path, such as `GET /model`.

    Yields:
        The address of the server.
    """

    class RequestHandler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_DELETE(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"] or 0))
            self._answer(json.loads(content) if content else {})

        def _answer(self, body: JsonObject) -> None:
            answer = answers[f"{self.command} {urlsplit(self.path).path}"](body)
            status, document = answer if isinstance(answer, tuple) else (200, answer)
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
