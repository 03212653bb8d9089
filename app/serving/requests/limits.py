"""How large a request may be, how long its body may take, and how many requests a replica accepts at once."""

from dataclasses import dataclass
from typing import Final

MAX_ROWS: Final = 10_000
"""Rows of one prediction request, unless the arguments of the application set another limit."""

MAX_BODY_BYTES: Final = 8 * 1024**2
"""Bytes of one prediction request's body, unless the arguments of the application set another limit."""

SMALL_BODY_BYTES: Final = 64 * 1024
"""Bytes of a small body. Small bodies are read on the event loop, in a few milliseconds at most, and do not count as
held bytes. The bodies of control requests may not be larger."""

MAX_HELD_BYTES: Final = 16 * MAX_BODY_BYTES
"""Received bytes of all larger bodies that one replica holds at the same time; further large bodies get 503."""

BODY_TIMEOUT_S: Final = 30.0
"""Seconds that a client may take to send a body. Then the request gets 408."""

MAX_ONGOING_PREDICTIONS: Final = 64
"""Predictions that one replica works on outside of the event loop; further ones wait."""

MAX_QUEUED_PREDICTIONS: Final = 1024
"""Predictions that wait in one replica; further ones get 503 at once."""

MAX_ONGOING_REQUESTS: Final = 100_000
"""Requests that Ray Serve lets into one replica at once. The calls between replicas count too, and must never wait for
predictions, so this limit is out of reach: the limits above apply first."""

RETRY_AFTER_S: Final = 1
"""Value of the header `Retry-After` of an answer with 503 from an overloaded replica."""

LOADING_RETRY_AFTER_S: Final = 5
"""Value of the header `Retry-After` of an answer with 503 while a model is being loaded."""


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """What a replica accepts."""

    rows: int = MAX_ROWS
    """Rows of one prediction request."""
    body_bytes: int = MAX_BODY_BYTES
    """Bytes of one prediction request's body."""
    held_bytes: int = MAX_HELD_BYTES
    """Received bytes of all larger bodies together."""
    body_timeout_s: float = BODY_TIMEOUT_S
    """Seconds that a client may take to send a body."""
    ongoing: int = MAX_ONGOING_PREDICTIONS
    """Predictions in progress outside of the event loop."""
    queued: int = MAX_QUEUED_PREDICTIONS
    """Predictions that wait."""

    @property
    def control_body_bytes(self) -> int:
        """Bytes of the body of a request that is no prediction."""
        return min(self.body_bytes, SMALL_BODY_BYTES)
