"""Hostile bodies for the service of a stack, beside a client whose requests are in order."""

import asyncio
import time
from pathlib import Path
from typing import Final

from app.serving.requests.limits import MAX_BODY_BYTES
from tests.e2e.lifecycle import platform
from tests.support.hostile import json_bodies, npy_bodies
from tests.support.hostile.exchange import Target, send_at_once
from tests.support.hostile.honest_client import HonestClient
from tests.support.live_stack import LiveStack

CLIENTS: Final = 4
"""Requests with a hostile body that are sent at once."""


def assert_they_disturb_nobody(stack: LiveStack, folder: Path) -> str:
    """Send every body, check that each is answered as it should be and no honest request fails, and return the figures.

    Args:
        stack: A running stack with a loaded model.
        folder: Folder for the log of the honest client.
    """
    url, prediction = stack.outputs()["serveUrl"], platform.predict(stack)
    rows = platform.curl(f"{url}/model")["example"]["features"]
    expected = {prediction["model_version"]: {"probabilities": prediction["probabilities"]}}
    # A stack sets no secret for the webhook, so its service has no such path.
    bodies = [body for body in (*json_bodies.BODIES, *npy_bodies.BODIES) if body.path != "/model/webhook"]
    unexpected, slowest_s, start_s = [], 0.0, time.monotonic()

    with HonestClient(url, {"features": rows}, expected, folder / "honest.jsonl") as client:
        for body in bodies:
            answers = asyncio.run(send_at_once(Target.of(url), body, [MAX_BODY_BYTES], times=CLIENTS, timeout_s=60))
            unexpected += [f"{body.name}: {answer.status}" for answer in answers if answer.status not in body.statuses]
            slowest_s = max(slowest_s, *(answer.duration_s for answer in answers))
        traffic = client.traffic(start_s, time.monotonic())

    figures = (
        f"{len(bodies)} hostile bodies: slowest answer {slowest_s:.1f} s, {traffic.failed} of {traffic.sent} honest "
        f"requests failed {dict(traffic.failures)}, p99 {1000 * traffic.p99_s:.0f} ms"
    )
    assert unexpected == [], figures
    assert traffic.failed == 0, figures
    return figures
