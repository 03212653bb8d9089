"""Logs each decision about retraining as an event of the service's log of JSON lines.

`app.serving.event_log` names the event and writes the lines.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.drift.job import DriftResult
from app.drift.retraining import Decision
from app.serving.event_log import events, json_lines

WRITER: Final = "drift-schedule"
"""Stands in the lines where the replicas write their names."""

log = logging.getLogger("manta.drift")


@contextmanager
def opened(file: Path | None) -> Iterator[None]:
    """Write the events of the block to a file; None: write nothing."""
    log.setLevel(logging.INFO)
    listener = json_lines.install(log, file, replica=WRITER, request_id=str)
    try:
        yield
    finally:
        if listener is not None:
            listener.stop()
            for handler in listener.handlers:
                handler.close()


def add(result: DriftResult, decision: Decision) -> None:
    """Log the decision that follows a judgement."""
    event = events.RETRAINING_DECIDED(
        model=result.model,
        version=result.version,
        begins=decision.begins,
        judgement=result.run_id,
        reason=decision.reason,
    )
    log.info("%s version %s: %s", result.model, result.version, decision, extra=event)
