"""MLflow behind a door that closes in the middle of a run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


class Door:
    """Hands requests on to MLflow until one comes whose path ends as told; from then on it hangs up.

    Args:
        mlflow_url: Where MLflow answers.
        closes_at: End of the path of the first request that is not answered.
    """

    def __init__(self, mlflow_url: str, *, closes_at: str) -> None:
        self.mlflow_url = mlflow_url
        self.closes_at = closes_at
        self.is_open = True

    def reopen(self) -> None:
        """Hand on every request from now on."""
        self.closes_at = "nothing"
        self.is_open = True

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Listen on loopback, and give the address."""
        door = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                if self.path.split("?")[0].endswith(door.closes_at):
                    door.is_open = False
                if not door.is_open:
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = httpx.request(
                    self.command, door.mlflow_url + self.path, content=body, headers=headers, timeout=60
                )
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("content-type", "application/json"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
