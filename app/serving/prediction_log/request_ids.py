"""The id of a prediction request, which later labels name."""

import uuid
from typing import Final

from starlette.requests import Request

NAME: Final = "x-request-id"
"""Name of the header of requests. Ray Serve adds it to a request that has none, and to the answer."""

HEADER: Final = NAME.encode()

MAX_CHARS: Final = 128
"""Maximum length of an id. Further characters are cut off."""


def shortened(text: str) -> str:
    """Return the characters of an id that the log keeps."""
    return text[:MAX_CHARS]


def to_text(header: bytes) -> str:
    """Return the id in a header as text; a new id if the header is empty."""
    return str(header, "latin-1") or uuid.uuid4().hex


def request_id(request: Request) -> str:
    """Return the id in the header of a request; a new id if the request has no such header."""
    return shortened(request.headers.get(NAME, "")) or uuid.uuid4().hex
