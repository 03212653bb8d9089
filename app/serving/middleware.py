"""What Serve's HTTP servers do to a request before anything else. Proxies import it too, so it imports little."""

from typing import Final

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

NOBODY_WATCHES: Final = (b"x-request-disconnect-disabled", b"?1")
"""Header by which Serve is told not to watch for a client that hangs up."""


class Unwatched:
    """Lets every request run to its end, whether or not its client stays.

    Serve otherwise runs two more tasks beside each request, which cost more than a prediction. A prediction takes a
    millisecond, and a load must not stop halfway.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], NOBODY_WATCHES]
        await self._app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve asks for, by the variable RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH."""
    return [Middleware(Unwatched)]
