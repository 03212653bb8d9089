"""Requests that a stack answered and that its prediction log lacks."""

import tempfile
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from app.records.log_files import REQUEST_ID
from app.records.mlflow_store import MlflowStore
from app.serving.prediction_log.writer import WRITE_PERIOD_S
from app.settings import settings
from tests.e2e.lifecycle import platform
from tests.support.live_stack import LiveStack

WAIT_S: Final = 2 * WRITE_PERIOD_S
"""Longest time in which the replicas write what they answered."""

INTERVAL_S: Final = 2.0


def count(stack: LiveStack, request_ids: Collection[str]) -> int:
    """Wait up to `WAIT_S` for a complete log, and return the number of answered requests that it lacks."""
    missing, read = set(request_ids), set()
    since, deadline_s = datetime.now(UTC) - timedelta(hours=2), time.monotonic() + WAIT_S
    with platform.mlflow_credentials(stack) as url, tempfile.TemporaryDirectory() as folder:
        store = MlflowStore(settings().model_copy(update={"mlflow_tracking_uri": url}))
        while True:
            for file in store.files("predictions", since=since):
                if file not in read:
                    missing.difference_update(store.read(file, Path(folder))[REQUEST_ID].to_pylist())
                    read.add(file)
            if not missing or time.monotonic() > deadline_s:
                return len(missing)
            time.sleep(INTERVAL_S)
