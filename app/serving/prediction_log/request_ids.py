"""The id of a prediction request, by which labels find the answer later."""

import uuid
from typing import Final

from starlette.requests import Request

HEADER: Final = b"x-request-id"
"""Header of requests. Ray Serve adds it to a request that has none, and to the answer."""

MAX_CHARS: Final = 128
"""Number of characters of an id that count."""


def request_id(request: Request) -> str:
    """Return the id of a request, or a new id if Ray Serve has not given it one."""
    for name, value in request.scope["headers"]:
        if name == HEADER and value:
            return str(value[:MAX_CHARS], "latin-1")
    return uuid.uuid4().hex
