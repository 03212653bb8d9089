"""Logs how many predictions a replica refused because too many waited: at most one line in ten seconds."""

import asyncio
import logging
from contextvars import Context
from typing import Final

from app import names
from app.serving.event_log import events

log = logging.getLogger(names.SERVING_LOG)

INTERVAL_S: Final = 10.0
"""Time from the first refusal to the line that counts all refusals since then."""


class DropLog:
    """Counts refusals, and logs their number."""

    def __init__(self) -> None:
        self._requests = 0
        self._reason = ""

    def add(self, error: Exception) -> None:
        """Count a refusal."""
        if self._requests == 0:
            # In an empty context, so that the line does not name the first refused request.
            asyncio.get_running_loop().call_later(INTERVAL_S, self.flush, context=Context())
        self._requests += 1
        self._reason = str(error)

    def flush(self) -> None:
        """Log the refusals since the last line."""
        if self._requests:
            message = "%d predictions were refused in %g s: %s"
            event = events.REQUESTS_DROPPED(requests=self._requests, seconds=INTERVAL_S, reason=self._reason)
            log.warning(message, self._requests, INTERVAL_S, self._reason, extra=event)
            self._requests = 0
