"""What a user does with a platform that is up: real commands, with addresses and tokens from stack outputs."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from app.cli.ports import free_ports
from tests.support.live_stack import LiveStack
from tests.support.tools import Tools
from tests.support.traffic import PredictionTraffic
from tests.support.waiting import wait_for

SELECTORS: Final = {
    "head": "ray.io/node-type=head",
    "worker": "ray.io/node-type=worker",
    "redis": "app.kubernetes.io/component=redis",
    "mlflow": "app.kubernetes.io/component=mlflow",
}
COMMAND_TIMEOUT_S: Final = 240
DESTROY_S: Final = 300
"""The longest that a destroy may take."""
RECOVERY_S: Final = 240
"""The longest until a killed pod's successor is ready."""
PICTURE_CHARACTERS: Final = 8000
"""The most that is shown of one answer."""

Figure = Callable[[str], None]
"""Notes a figure for the end of the test report."""


def curl(*arguments: str) -> dict[str, Any]:
    """Run curl and read its answer as JSON."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    content: dict[str, Any] = json.loads(answer.stdout)
    return content


def train(stack: LiveStack, folder: Path) -> str:
    """Submit the training job as the README says, and give back what was printed."""
    outputs = stack.outputs()
    answer = subprocess.run(
        [
            *("ray", "job", "submit", "--address", outputs["rayDashboardUrl"]),
            *("--", "python", "-m", "app.train", "--trees", "100"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd=folder,
        env={
            **os.environ,
            **stack.environment,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": outputs["rayToken"],
        },
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def load_model(stack: LiveStack) -> dict[str, Any]:
    """Ask every replica to serve the champion."""
    outputs = stack.outputs()
    token = f"Authorization: Bearer {outputs['serveToken']}"

    def loaded() -> dict[str, Any] | None:
        answer = curl("-X", "POST", f"{outputs['serveUrl']}/model/load", "-H", token)
        # The service may be busy: it follows what training has just promoted.
        return None if answer.get("type") == "urn:manta:problem:load-in-progress" else answer

    return wait_for("a load", loaded, timeout_s=COMMAND_TIMEOUT_S)


def predict(stack: LiveStack) -> dict[str, Any]:
    """Ask for predictions of the rows that the model itself gives as an example."""
    url = stack.outputs()["serveUrl"]
    rows = json.dumps({"features": curl(f"{url}/model")["example"]["features"]})
    return curl("-X", "POST", f"{url}/predict", "-H", "Content-Type: application/json", "-d", rows)


def requests(stack: LiveStack) -> PredictionTraffic:
    """Predictions at an even rate, for the body of a `with`."""
    url = stack.outputs()["serveUrl"]
    return PredictionTraffic(f"{url}/predict", {"features": curl(f"{url}/model")["example"]["features"][:1]})


@contextmanager
def forwarding(stack: LiveStack) -> Iterator[dict[str, int]]:
    """Run `manta forward` on free ports, give back the ports by name, and end it as Ctrl-C does."""
    names = [tunnel["name"] for tunnel in stack.outputs()["forwards"]]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    process = subprocess.Popen(
        ["manta", "forward", "--stack", stack.name, *options],
        cwd=stack.folder,
        env={**os.environ, **stack.environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield ports
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=COMMAND_TIMEOUT_S) == 0
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    """Whether an HTTP server answers on a local port."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def pods(machine: Tools, stack: LiveStack, part: str) -> dict[str, dict[str, Any]]:
    """Pods of a part of the platform, by their unique id."""
    namespace = str(stack.config["namespace"])
    found = json.loads(machine.kubectl("get", "pods", "-n", namespace, "-l", SELECTORS[part], "-o", "json"))
    return {pod["metadata"]["uid"]: pod for pod in found["items"]}


def wait_for_one_cluster(machine: Tools, stack: LiveStack) -> None:
    """Wait until the pods of a cluster that an update replaced are gone, and all others ready."""

    def is_one() -> bool:
        now = {part: pods(machine, stack, part) for part in SELECTORS}
        return len(now["head"]) == 1 and all(is_ready(pod) for part in now.values() for pod in part.values())

    wait_for("one cluster", is_one, timeout_s=COMMAND_TIMEOUT_S)


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether the pod takes traffic and is not on its way out."""
    conditions = pod["status"].get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def serves(outputs: dict[str, Any]) -> bool:
    """Whether Serve's controller has every replica running and every proxy healthy, and is back itself.

    A head that is ready has a controller that still looks for its replicas. A worker that is lost in that half minute
    is a second fault, of which Serve knows nothing yet.
    """
    try:
        answer = httpx.get(
            f"{outputs['rayDashboardUrl']}/api/serve/applications/",
            headers={"Authorization": f"Bearer {outputs['rayToken']}"},
            timeout=5,
        )
        told = answer.raise_for_status().json()
    except httpx.HTTPError:
        return False
    deployments = [one for application in told["applications"].values() for one in application["deployments"].values()]
    replicas = [replica["state"] for one in deployments for replica in one["replicas"]]
    proxies = [proxy["status"] for proxy in told["proxies"].values()]
    return set(replicas) == {"RUNNING"} and set(proxies) == {"HEALTHY"}


def kill(machine: Tools, stack: LiveStack, part: str, *, timeout_s: float) -> float:
    """End one pod of a part without notice, and give back the seconds until all was as before.

    That is when another pod is ready in its place, and Serve has all replicas and proxies.
    """
    outputs = stack.outputs()
    before = pods(machine, stack, part)
    victim = next(iter(before.values()))["metadata"]
    started = time.monotonic()
    machine.kubectl(
        *("delete", "pod", victim["name"], "-n", victim["namespace"], "--force", "--grace-period=0"),
        timeout_s=60,
    )

    def replaced() -> bool:
        now = pods(machine, stack, part)
        is_whole = len(now) == len(before) and all(is_ready(pod) for pod in now.values())
        return is_whole and victim["uid"] not in now and serves(outputs)

    wait_for(f"a new {part}", replaced, timeout_s=timeout_s)
    return time.monotonic() - started


def picture(machine: Tools, stack: LiveStack) -> str:
    """What the cluster says of itself, for the report of a failed test."""
    ours = str(stack.config["namespace"])
    questions = (
        ("get", "pods", "--all-namespaces", "-o", "wide"),
        ("get", "events", "-n", ours, "--sort-by=.lastTimestamp"),
        ("get", "rayservices,rayclusters,endpointslices", "-n", ours),
        ("get", "rayservices", "-n", ours, "-o", "jsonpath={.items[*].status}"),
        ("describe", "nodes"),
        ("logs", "-n", ours, "-l", SELECTORS["head"], "--all-containers", "--tail=40", "--prefix"),
        ("logs", "-n", f"{ours}-operator", "-l", "app.kubernetes.io/name=kuberay-operator", "--tail=60"),
    )
    told = []
    for question in questions:
        try:
            answer = machine.kubectl(*question)
        except subprocess.SubprocessError as error:
            answer = f"{error}\n{error.stderr if isinstance(error, subprocess.CalledProcessError) else ''}"
        told.append(f"$ kubectl {' '.join(question)}\n{answer[-PICTURE_CHARACTERS:]}")
    return "\n".join(told)


def leftovers(machine: Tools, stack: LiveStack) -> list[str]:
    """What is still in the cluster under the stack's names."""
    ours = str(stack.config["namespace"])
    kinds = "namespaces,persistentvolumes,clusterroles,clusterrolebindings"
    found = json.loads(machine.kubectl("get", kinds, "-o", "json"))["items"]
    return [
        f"{item['kind']} {item['metadata']['name']}"
        for item in found
        if item["metadata"]["name"] in (ours, f"{ours}-operator")
        or item.get("spec", {}).get("claimRef", {}).get("namespace") == ours
        or item["metadata"].get("annotations", {}).get("meta.helm.sh/release-namespace", "").startswith(ours)
    ]
