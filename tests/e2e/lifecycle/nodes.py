"""The nodes of the cluster: drained, or with their network cut."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.e2e.lifecycle import site_services
from tests.support.json_object import JsonObject
from tests.support.tools import Tools

DRAIN_TIMEOUT_S: Final = 420
"""Longest time of a drain: the start of a new worker beside the other pods, and 60 s for the old worker to end."""
COMMAND_TIMEOUT_S: Final = 60


def nodes(machine: Tools) -> list[JsonObject]:
    """Return the nodes, ordered by name."""
    items: list[JsonObject] = json.loads(machine.kubectl("get", "nodes", "-o", "json"))["items"]
    return sorted(items, key=lambda node: str(node["metadata"]["name"]))


def node_names(machine: Tools) -> list[str]:
    """Return the names of the nodes, in order."""
    return [node["metadata"]["name"] for node in nodes(machine)]


def internal_address(machine: Tools) -> str:
    """Return the address of the first node inside of the cluster."""
    addresses = {item["type"]: item["address"] for item in nodes(machine)[0]["status"]["addresses"]}
    return str(addresses["InternalIP"])


def are_ready(machine: Tools) -> bool:
    """Whether every node is ready."""
    conditions = [condition for node in nodes(machine) for condition in node["status"]["conditions"]]
    return all(condition["status"] == "True" for condition in conditions if condition["type"] == "Ready")


@contextmanager
def drained(machine: Tools, node: str) -> Iterator[float]:
    """Drain a node, and uncordon it afterwards. Postgres, which is no part of the platform, stays on the node.

    Yields:
        The duration of the drain, in seconds.

    Raises:
        subprocess.CalledProcessError: The drain did not end in `DRAIN_TIMEOUT_S`.
    """
    start_s = time.monotonic()
    try:
        machine.kubectl(
            *("drain", node, "--delete-emptydir-data", "--ignore-daemonsets", f"--timeout={DRAIN_TIMEOUT_S}s"),
            *("--pod-selector", f"app!={site_services.POSTGRES}"),
            timeout_s=DRAIN_TIMEOUT_S + COMMAND_TIMEOUT_S,
        )
        yield time.monotonic() - start_s
    finally:
        machine.kubectl("uncordon", node)


@contextmanager
def network_cut(machine: Tools) -> Iterator[None]:
    """Cut the network of a node while the block runs, and heal it afterwards, also if the cut itself fails."""
    try:
        _run(machine.site["cut"])
        yield
    finally:
        _run(machine.site["heal"])


def _run(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True, timeout=COMMAND_TIMEOUT_S)
