"""The form of a hostile request body, and the ways to fill one to a size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

JSON: Final = "application/json"
NPY: Final = "application/x-npy"

INVALID: Final = frozenset({413, 415, 422})
"""Statuses of a body that cannot be used: too large, another content type, or invalid content."""
VALID_OR_INVALID: Final = INVALID | {200}
"""Statuses of a body that is unusual, but whose rows are valid in some of its sizes."""
CLOSED: Final = 0
"""Status of a connection that was closed without an answer."""
MALFORMED: Final = INVALID | {400, 431, CLOSED}
"""Statuses of a message that breaks the rules of HTTP. HAProxy closes the connection of a client that still sends."""

Content = Callable[[int], bytes]
"""Builds a body of at most the given number of bytes."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """A kind of hostile body."""

    name: str
    content: Content
    content_type: str | None = JSON
    """Value of the header `Content-Type`; None sends no such header."""
    headers: tuple[tuple[str, str], ...] = ()
    """Additional headers."""
    path: str = "/predict"
    is_chunked: bool = False
    """Whether the body is sent in chunks, without `Content-Length`."""
    statuses: frozenset[int] = INVALID
    """The accepted statuses of the answer."""


def repeated(unit: str, *, before: str = '{"features":[', after: str = "]}") -> Content:
    """A body of one unit as often as it fits, separated by commas."""

    def build(size: int) -> bytes:
        count = max(1, (size - len(before) - len(after)) // (len(unit) + 1))
        return f"{before}{(unit + ',') * (count - 1)}{unit}{after}".encode()

    return build


def stretched(before: str, unit: str, after: str = "") -> Content:
    """A body with one unit in its middle as often as it fits."""

    def build(size: int) -> bytes:
        count = max(1, (size - len(before) - len(after)) // len(unit))
        return f"{before}{unit * count}{after}".encode()

    return build


def fixed(content: bytes) -> Content:
    """The same body for every size."""
    return lambda _: content
