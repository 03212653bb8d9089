"""Commands of a user on a running platform, with addresses and tokens from the stack outputs."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest
from mlflow import MlflowClient

from app.cli.ports import free_ports
from tests.support.json_object import JsonObject
from tests.support.live_rollouts import RolloutPlatform
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
"""Longest time that a destroy may take."""
RECOVERY_S: Final = 240
"""Longest time until the pod that replaces a killed pod is ready."""
OUTPUT_LIMIT_CHARACTERS: Final = 8000
"""Longest output of a kubectl command in the description of the cluster."""

Figure = Callable[[str], None]
"""Adds a line to the measurements at the end of the test report."""


def curl(*arguments: str) -> JsonObject:
    """Run curl and parse the response as JSON."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S).stdout
    content: JsonObject = json.loads(output)
    return content


def train(stack: LiveStack, folder: Path, address: str = "") -> str:
    """Run `ray job submit` in an empty folder, for `address` or else `rayDashboardUrl`, and return the job's output."""
    outputs = stack.outputs()
    process = subprocess.run(
        [
            *("ray", "job", "submit", "--address", address or outputs["rayDashboardUrl"]),
            *("--entrypoint-num-cpus", "0.01", "--entrypoint-memory", str(768 * 2**20)),
            *("--", "python", "-m", "app.train", "--trees", "100"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        cwd=folder,
        env={**os.environ, **stack.environment, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": outputs["rayToken"]},
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def manta(stack: LiveStack, *argv: str) -> "subprocess.CompletedProcess[str]":
    """Run a `manta` command in the folder of the stack's project."""
    return subprocess.run(
        ["manta", *argv, "--stack", stack.name],
        cwd=stack.folder,
        env={**os.environ, **stack.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_S,
    )


def train_on_pending_cluster(stack: LiveStack) -> str:
    """Train with `manta train --pending` while an update waits, and return the output."""
    process = manta(stack, "train", "--pending", "--trees", "100")
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def find_problems(stack: LiveStack) -> dict[str, JsonObject]:
    """Run `manta doctor`, and return its findings by the name of the check."""
    return {finding["check"]: finding for finding in json.loads(manta(stack, "doctor", "--json").stdout)["findings"]}


@contextmanager
def mlflow_credentials(stack: LiveStack) -> Iterator[str]:
    """Let this process and those that it starts use the MLflow of the stack while the block runs. Yields its URL."""
    outputs = stack.outputs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", outputs["mlflowUsername"])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", outputs["mlflowPassword"])
        yield outputs["mlflowUrl"]


@contextmanager
def rollout_platform(stack: LiveStack) -> Iterator[RolloutPlatform]:
    """Yield the platform for tests of rollouts."""
    outputs = stack.outputs()
    headers = {"Authorization": f"Bearer {outputs['serveToken']}"}
    with (
        mlflow_credentials(stack) as mlflow_url,
        httpx.Client(base_url=outputs["serveUrl"], headers=headers, timeout=60) as api,
    ):
        yield RolloutPlatform(api, MlflowClient(tracking_uri=mlflow_url), partial(manta, stack))


def load_model(stack: LiveStack, version: str | None = None) -> JsonObject:
    """Load a version, or the newest that passed the gate, on every replica, and return the response."""
    outputs = stack.outputs()
    body = ["-H", "Content-Type: application/json", "-d", json.dumps({"version": version})] if version else []

    def load() -> JsonObject | None:
        response = curl("-X", "POST", f"{outputs['serveUrl']}/model/load", *_authorization(outputs), *body)
        # The service may be busy loading the version that training has just promoted.
        return None if response.get("type") == "urn:manta:problem:load-in-progress" else response

    return wait_for("a load", load, timeout_s=COMMAND_TIMEOUT_S)


def predict(stack: LiveStack) -> JsonObject:
    """Predict the example rows of the served model."""
    outputs = stack.outputs()
    url, token = outputs["serveUrl"], _authorization(outputs)
    rows = json.dumps({"features": curl(f"{url}/model", *token)["example"]["features"]})
    return curl("-X", "POST", f"{url}/predict", *token, "-H", "Content-Type: application/json", "-d", rows)


def prediction_traffic(stack: LiveStack, *, token: str = "") -> PredictionTraffic:
    """Return a context manager that sends predictions at a constant rate.

    Args:
        stack: The stack.
        token: Bearer token of the requests; empty for the stack output `serveToken`.
    """
    outputs = stack.outputs()
    url, rows = outputs["serveUrl"], curl(f"{outputs['serveUrl']}/model", *_authorization(outputs))
    message = {"features": rows["example"]["features"][:1]}
    return PredictionTraffic(f"{url}/predict", message, token=token or outputs["serveToken"])


def _authorization(outputs: JsonObject) -> list[str]:
    """Options of curl for a request that needs a token."""
    return ["-H", f"Authorization: Bearer {outputs['serveToken']}"]


@contextmanager
def run_forward(stack: LiveStack) -> Iterator[dict[str, int]]:
    """Run `manta forward` on free ports, and stop it with Ctrl-C at the end.

    Yields:
        The port of each tunnel, by name.
    """
    names = [tunnel["name"] for tunnel in stack.outputs()["forwards"]]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
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


def is_answering(port: int) -> bool:
    """Whether an HTTP server answers on a local port."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=5).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except httpx.HTTPError:
        return False


def pods(machine: Tools, stack: LiveStack, part: str) -> dict[str, JsonObject]:
    """Return the pods of a part of the platform (`SELECTORS`), by UID."""
    namespace = str(stack.config["namespace"])
    items = json.loads(machine.kubectl("get", "pods", "-n", namespace, "-l", SELECTORS[part], "-o", "json"))["items"]
    return {pod["metadata"]["uid"]: pod for pod in items}


def wait_for_one_cluster(machine: Tools, stack: LiveStack) -> None:
    """Wait until the pods of a replaced RayCluster are gone and all other pods are ready."""

    def is_one_cluster() -> bool:
        pods_by_part = {part: pods(machine, stack, part) for part in SELECTORS}
        return len(pods_by_part["head"]) == 1 and all(
            is_ready(pod) for pods_of_part in pods_by_part.values() for pod in pods_of_part.values()
        )

    wait_for("one cluster", is_one_cluster, timeout_s=COMMAND_TIMEOUT_S)


def is_ready(pod: JsonObject) -> bool:
    """Whether the pod is ready and is not being deleted."""
    conditions = pod["status"].get("conditions", [])
    has_ready_condition = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return has_ready_condition and "deletionTimestamp" not in pod["metadata"]


def is_serving(outputs: JsonObject) -> bool:
    """Whether Serve's controller answers and reports every replica as running and every proxy as healthy.

    When a new head is ready, its controller still needs about half a minute to find the replicas. A worker that is lost
    in that time is a second fault that Serve does not notice.
    """
    try:
        response = httpx.get(
            f"{outputs['rayDashboardUrl']}/api/serve/applications/",
            headers={"Authorization": f"Bearer {outputs['rayToken']}"},
            timeout=5,
        )
        status = response.raise_for_status().json()
    except httpx.HTTPError:
        return False
    applications = status["applications"].values()
    deployments = [deployment for application in applications for deployment in application["deployments"].values()]
    replica_states = {replica["state"] for deployment in deployments for replica in deployment["replicas"]}
    proxy_states = {proxy["status"] for proxy in status["proxies"].values()}
    return replica_states == {"RUNNING"} and proxy_states == {"HEALTHY"}


def kill_pod(machine: Tools, stack: LiveStack, part: str, *, timeout_s: float) -> float:
    """Kill one pod of a part of the platform, and wait until the platform has recovered.

    Returns:
        Seconds until another pod is ready in its place, and Serve has all replicas and proxies.
    """
    outputs = stack.outputs()
    pods_before = pods(machine, stack, part)
    killed = next(iter(pods_before.values()))["metadata"]
    start_s = time.monotonic()
    machine.kubectl(
        *("delete", "pod", killed["name"], "-n", killed["namespace"], "--force", "--grace-period=0"),
        timeout_s=60,
    )

    def has_recovered() -> bool:
        current = pods(machine, stack, part)
        is_complete = len(current) == len(pods_before) and all(is_ready(pod) for pod in current.values())
        return is_complete and killed["uid"] not in current and is_serving(outputs)

    wait_for(f"a new {part}", has_recovered, timeout_s=timeout_s)
    return time.monotonic() - start_s


def describe_cluster(machine: Tools, stack: LiveStack) -> str:
    """Return the output of kubectl commands that show the state of the cluster."""
    namespace = str(stack.config["namespace"])
    commands = (
        ("get", "pods", "--all-namespaces", "-o", "wide"),
        ("get", "events", "-n", namespace, "--sort-by=.lastTimestamp"),
        ("get", "rayservices,rayclusters,endpointslices", "-n", namespace),
        ("get", "rayservices", "-n", namespace, "-o", "jsonpath={.items[*].status}"),
        ("describe", "nodes"),
        ("logs", "-n", namespace, "-l", SELECTORS["head"], "--all-containers", "--tail=40", "--prefix"),
        ("logs", "-n", f"{namespace}-operator", "-l", "app.kubernetes.io/name=kuberay-operator", "--tail=60"),
    )
    sections = []
    for command in commands:
        try:
            output = machine.kubectl(*command)
        except subprocess.SubprocessError as error:
            output = f"{error}\n{error.stderr if isinstance(error, subprocess.CalledProcessError) else ''}"
        sections.append(f"$ kubectl {' '.join(command)}\n{output[-OUTPUT_LIMIT_CHARACTERS:]}")
    return "\n".join(sections)


def leftovers(machine: Tools, stack: LiveStack) -> list[str]:
    """Return the resources of the stack that are still in the cluster."""
    namespace = str(stack.config["namespace"])
    kinds = "namespaces,persistentvolumes,clusterroles,clusterrolebindings"
    items = json.loads(machine.kubectl("get", kinds, "-o", "json"))["items"]
    return [
        f"{item['kind']} {item['metadata']['name']}"
        for item in items
        if item["metadata"]["name"] in (namespace, f"{namespace}-operator", f"{namespace}-monitoring")
        or item.get("spec", {}).get("claimRef", {}).get("namespace") == namespace
        or item["metadata"].get("annotations", {}).get("meta.helm.sh/release-namespace", "").startswith(namespace)
    ]
