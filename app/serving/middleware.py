"""ASGI middleware of Serve's HTTP proxies and replicas. The proxies import this module too, so it imports little."""

from typing import Final

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.serving import tcp_nodelay

DISCONNECT_WATCH_DISABLED: Final = (b"x-request-disconnect-disabled", b"?1")
"""Header that tells Serve not to watch for the client's disconnect."""


class DisableDisconnectWatch:
    """Lets every request run to its end, even if the client disconnects.

    To watch for a disconnect, Serve runs two more tasks for each request, which cost more than a prediction. A
    prediction takes a millisecond, and a load must not stop halfway.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header and pass the request on."""
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], DISCONNECT_WATCH_DISABLED]
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """Return the middleware for Serve, which finds this function by RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    tcp_nodelay.install()  # Serve calls this function before it starts an HTTP server
    return [Middleware(DisableDisconnectWatch)]
