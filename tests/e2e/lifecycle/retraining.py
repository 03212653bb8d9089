"""The schedule of a stack that judges drift, without waiting for its time."""

import json
import time
from pathlib import Path
from typing import Final

from app import names
from infra.names import DRIFT_SCHEDULE
from tests.support import drifting_model
from tests.support.drifting_model import MODEL
from tests.support.live_rollouts import RolloutPlatform
from tests.support.live_stack import LiveStack
from tests.support.tools import Tools
from tests.support.waiting import wait_for

JOB_TIMEOUT_S: Final = 400.0
"""Longest time of a judgement with the training that it begins."""


def assert_two_judgements_train(machine: Tools, stack: LiveStack, platform: RolloutPlatform, folder: Path) -> str:
    """Let the schedule judge a model whose score fell, check that the second run trains, and return the figures."""
    drifting_model.prepare(platform, folder)
    drifting_model.hold_other_retrainings(platform.registry)
    version = platform.aliases(MODEL)[names.CHAMPION]
    start_s = time.monotonic()
    first = run_schedule(machine, stack, "drift-first")
    judged_s = time.monotonic() - start_s
    second = run_schedule(machine, stack, "drift-second")
    trained_s = time.monotonic() - start_s - judged_s
    decision = drifting_model.assert_retrained(platform, version, first, second)
    platform.run("serve", MODEL, "--stop")
    return f"judged in {judged_s:.0f} s, judged and trained again in {trained_s:.0f} s: {decision}"


def run_schedule(machine: Tools, stack: LiveStack, name: str) -> str:
    """Start a Job of the schedule, wait for its end, and return its log."""
    namespace = ("-n", str(stack.config["namespace"]))
    machine.kubectl("create", "job", name, f"--from=cronjob/{DRIFT_SCHEDULE}", *namespace)

    def has_ended() -> bool:
        status = json.loads(machine.kubectl("get", "job", name, "-o", "json", *namespace))["status"]
        return bool(status.get("succeeded") or status.get("failed"))

    wait_for(f"the job {name}", lambda: has_ended() or None, timeout_s=JOB_TIMEOUT_S)
    return machine.kubectl("logs", f"job/{name}", *namespace)
