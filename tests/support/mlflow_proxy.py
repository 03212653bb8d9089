"""A proxy in front of MLflow that stops forwarding in the middle of a run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


class MlflowProxy:
    """Forwards requests to MLflow until a certain path is requested. From then on it closes every connection.

    Args:
        mlflow_url: URL of MLflow.
        stops_at: The first request whose path ends with this text is not answered.
    """

    def __init__(self, mlflow_url: str, *, stops_at: str) -> None:
        self.mlflow_url = mlflow_url
        self.stops_at = stops_at
        self.is_forwarding = True

    def resume(self) -> None:
        """Forward every request from now on."""
        self.stops_at = "no such path"
        self.is_forwarding = True

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Listen on the loopback interface, and yield the URL."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                if self.path.split("?")[0].endswith(proxy.stops_at):
                    proxy.is_forwarding = False
                if not proxy.is_forwarding:
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answer = httpx.request(
                    self.command, proxy.mlflow_url + self.path, content=body, headers=headers, timeout=60
                )
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("content-type", "application/json"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - http.server's names

            def log_message(self, *_args: object) -> None:
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
