"""Writes the log of the service as JSON lines, one for each record, to a file or to the output of the container.

A thread of its own writes the lines, so that no request waits for a slow disk or a full pipe.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from typing import Final

MAX_TEXT: Final = 1500
"""Maximum number of characters of a text in a line."""

MAX_LINE_BYTES: Final = 4096
"""Maximum size of a line, with its end: Linux does not mix writes of this size that several replicas make to the same
pipe (`PIPE_BUF`). The texts of a longer line are shortened further; a character that is not ASCII takes 6 bytes."""


class JsonLine(logging.Formatter):
    """Formats a record as JSON in one line.

    Args:
        replica: Name of the replica.
        request_id: Returns the id of the request that is being answered; empty if there is none.
    """

    def __init__(self, *, replica: str, request_id: Callable[[], str]) -> None:
        super().__init__()
        self._replica = replica
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """Format a record. See docs/reference/log-events.md for the members."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "replica": self._replica,
            "message": record.getMessage(),
        }
        if hasattr(record, "event"):
            line |= {"event": record.event} | record.__dict__["fields"]
        if request_id := self._request_id():
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        max_text = MAX_TEXT
        while len(text := _to_json(line, max_text)) >= MAX_LINE_BYTES:
            max_text //= 2
        return text


def _to_json(line: Mapping[str, object], max_text: int) -> str:
    """Write a line in ASCII, and keep only the end of a long text: a traceback names its exception there."""
    return json.dumps(
        {
            name: f"...{value[-max_text:]}" if isinstance(value, str) and len(value) > max_text else value
            for name, value in line.items()
        }
    )


def install(
    log: logging.Logger, file: Path | None, *, replica: str, request_id: Callable[[], str]
) -> QueueListener | None:
    """Append the records of a logger to a file, as JSON lines. A file that cannot be opened is logged as a warning.

    Args:
        log: The logger of the service.
        file: File or pipe, such as `/proc/1/fd/1`, the output of a container. None: nothing is written.
        replica: See `JsonLine`.
        request_id: See `JsonLine`.

    Returns:
        The listener that writes the lines; None if nothing is written. Its method `stop` writes the waiting lines.
    """
    if file is None:
        return None
    try:
        target = logging.FileHandler(file, encoding="utf-8")
    except OSError as error:
        log.warning("The log is not written as JSON: %s cannot be opened: %s", file, error.strerror)
        return None
    queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler = QueueHandler(queue)  # formats the record on the thread that logs, which knows the request
    handler.setFormatter(JsonLine(replica=replica, request_id=request_id))
    listener = QueueListener(queue, target)
    log.addHandler(handler)
    listener.start()
    return listener
