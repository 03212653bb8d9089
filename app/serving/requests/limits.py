"""How large a request may be, and how many requests a replica accepts at once."""

from dataclasses import dataclass
from typing import Final

MAX_ROWS: Final = 10_000
"""Rows of one prediction request, unless the arguments of the application set another limit."""

MAX_BODY_BYTES: Final = 8 * 1024**2
"""Bytes of one request's body, unless the arguments of the application set another limit."""

MAX_ONGOING_REQUESTS: Final = 64
"""Requests in progress in one replica; further requests wait in its queue."""

MAX_QUEUED_REQUESTS: Final = 1024
"""Requests in the queue of one replica, less than a second's work; further requests are answered with 503 at once."""

RETRY_AFTER_S: Final = 1
"""Value of the header `Retry-After` in that answer."""


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """The largest request that a replica accepts."""

    rows: int = MAX_ROWS
    """Rows of one prediction request."""
    body_bytes: int = MAX_BODY_BYTES
    """Bytes of one request's body."""
