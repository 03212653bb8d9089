"""Checks of `manta doctor` inside of the Ray head: Redis, MLflow, DNS and the API server, as Ray reaches them."""

import json
from collections.abc import Iterator
from typing import Final

from app.cli.json_object import JsonObject
from app.cli.stack.doctor.checks import CheckResult, Status
from app.cli.stack.programs import Kubectl, ProgramError

# `|| true`: kubectl would report the exit code in place of the output.
COMMAND: Final = "python -m app.dependencies --json --patience 0 || true"
CONTAINER: Final = "ray-head"
STATUSES: Final = {"ok": Status.OK, "warning": Status.UNSURE, "wrong": Status.WRONG}


def run_checks(kubectl: Kubectl, namespace: str, heads: list[JsonObject]) -> Iterator[CheckResult]:
    """Run the checks in the newest head that runs; nothing without one, because another check reports that.

    During an upgrade there are two heads, and the older one may have credentials that are no longer valid.
    """
    running = [pod["metadata"] for pod in heads if pod["status"].get("phase") == "Running"]
    if not running:
        return
    head = max(running, key=lambda metadata: str(metadata["creationTimestamp"]))["name"]
    try:
        output = kubectl.run("exec", head, "-n", namespace, "-c", CONTAINER, "--", "sh", "-c", COMMAND)
        results = json.loads(output.strip().splitlines()[-1])
    except (ProgramError, ValueError, IndexError) as error:
        detail = f"the checks in the Ray head did not run: {error}"
        yield CheckResult("ray's services", Status.UNSURE, detail, f"kubectl logs {head} -n {namespace}")
        return
    for result in results:
        status = STATUSES[result["status"]]
        yield CheckResult(f"ray > {result['check']}", status, result["detail"], result["next_step"])
