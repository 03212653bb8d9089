"""While an update waits, its progress says what keeps the RayService from being ready, each thing once."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.cli.json_object import JsonObject
from app.cli.stack import progress
from app.cli.stack.programs import Kubectl
from app.cli.stack.progress import Progress

KUBECTL = """#!/bin/sh
case "$*" in
    *logs*) echo "first line"; echo "ValueError: no room in /dev/shm" ;;
    *exec*) exit 1 ;;
    *) while [ "$1" != get ]; do shift; done; cat "$0-$2" ;;
esac
"""
WAITING: JsonObject = {
    "metadata": {"name": "manta", "generation": 2},
    "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "False"}]},
}
READY: JsonObject = {
    "metadata": {"name": "manta", "generation": 2},
    "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}]},
}


def pod(name: str, **status: object) -> JsonObject:
    return {"metadata": {"name": name}, "status": status}


def event(reason: str, message: str) -> JsonObject:
    return {
        "metadata": {"creationTimestamp": datetime.now(UTC).isoformat()},
        "involvedObject": {"name": "manta-raycluster"},
        "reason": reason,
        "message": message,
    }


class Cluster:
    """A fake `kubectl` that answers from files, and the lines that were printed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lines: list[str] = []
        self.progress = Progress(Kubectl("minikube"), "manta", "manta", report=self.lines.append)
        (folder / "kubectl").write_text(KUBECTL)
        (folder / "kubectl").chmod(0o755)

    def poll(self, service: JsonObject, pods: list[JsonObject], events: list[JsonObject] | None = None) -> bool:
        for kind, items in (("rayservices.ray.io", [service]), ("pods", pods), ("events", events or [])):
            (self._folder / f"kubectl-{kind}").write_text(json.dumps({"items": items}))
        return self.progress.poll()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Cluster(tmp_path)


def test_a_pod_without_a_node_is_shown_with_the_message_of_the_scheduler(cluster: Cluster) -> None:
    message = "0/2 nodes are available: 2 Insufficient cpu."
    condition = {"type": "PodScheduled", "status": "False", "message": message}

    cluster.poll(WAITING, [pod("worker-1", conditions=[condition])])

    assert cluster.lines == [
        "waiting for the RayService: 0 of 1 Ray pods are ready",
        f"worker-1 finds no node: {message}",
    ]


def test_an_image_that_cannot_be_pulled_is_shown(cluster: Cluster) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image manta-ray:1"}

    cluster.poll(WAITING, [pod("head", containerStatuses=[{"name": "ray-head", "state": {"waiting": waiting}}])])

    assert "head: ImagePullBackOff: Back-off pulling image manta-ray:1" in cluster.lines


def test_a_crash_is_shown_with_the_last_line_of_the_log(cluster: Cluster) -> None:
    last = {"terminated": {"reason": "Error", "exitCode": 1}}

    cluster.poll(WAITING, [pod("head", containerStatuses=[{"name": "ray-head", "lastState": last}])])

    crash = "head: ray-head ended: Error, exit code 1; last line of its log: ValueError: no room in /dev/shm"
    assert crash in cluster.lines


def test_an_exceeded_quota_is_shown_and_a_failed_probe_is_not(cluster: Cluster) -> None:
    events = [event("FailedToCreateWorkerPod", "exceeded quota: team"), event("Unhealthy", "Readiness probe failed")]

    cluster.poll(WAITING, [], events)

    assert "manta-raycluster: FailedToCreateWorkerPod: exceeded quota: team" in cluster.lines
    assert "Readiness probe failed" not in str(cluster.lines)


def test_an_application_that_serve_cannot_deploy_is_shown(cluster: Cluster) -> None:
    failed = {"manta": {"status": "DEPLOY_FAILED", "message": "ImportError: app"}}
    service = WAITING | {"status": WAITING["status"] | {"pendingServiceStatus": {"applicationStatuses": failed}}}

    cluster.poll(service, [])

    assert "Serve application manta: DEPLOY_FAILED: ImportError: app" in cluster.lines


def test_each_line_is_printed_once_and_a_ready_service_ends_the_wait(cluster: Cluster) -> None:
    assert not cluster.poll(WAITING, [])
    assert not cluster.poll(WAITING, [])
    assert cluster.poll(READY, [])
    assert len(cluster.lines) == 1


@pytest.mark.parametrize(
    "status",
    [
        {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
        {
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "UpgradeInProgress", "status": "True"}],
        },
        {},
    ],
)
def test_an_old_spec_or_an_upgrade_is_not_ready(status: JsonObject) -> None:
    assert not progress.is_ready(READY | {"status": status})
