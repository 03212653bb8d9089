import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from app.cli.main import cli
from app.cli.stack.doctor import health, preflight
from app.cli.stack.doctor.checks import Finding, Status
from app.cli.stack.outputs import Outputs

CONFIG = {
    "target": "minikube",
    "context": "minikube",
    "namespace": "manta",
    "imageBuilder": "command",
    "minWorkers": "1",
    "maxWorkers": "2",
    "replicas": "1",
    "cpus": "1",
    "memory": "2Gi",
    "headCpus": "1",
    "headMemory": "2Gi",
    "mlflowMemory": "1536Mi",
    "mlflowReplicas": "1",
    "redis": "in-cluster",
    "storageClass": "",
}
NODE = {"metadata": {"name": "node"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}
CLASS = {"metadata": {"name": "standard", "annotations": {preflight.DEFAULT_CLASS: "true"}}}
CLAIM = {"metadata": {"name": "data"}, "status": {"phase": "Bound"}}
SERVICE = {"metadata": {"name": "manta"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
FORWARD = {"name": "ray", "namespace": "manta", "service": "head", "port": 8265, "localPort": 8265}
OUTPUTS = Outputs.model_validate(
    {
        "context": "minikube",
        "namespace": "manta",
        "image": "manta-ray:1",
        "rayDashboardUrl": "http://localhost:8265",
        "mlflowUrl": "http://localhost:8989",
        "serveUrl": "http://localhost:8000/fastapi_app",
        "forwards": [FORWARD],
    }
)
KUBECTL = """#!/bin/sh
case "$*" in
    *version*) echo '{"serverVersion": {"gitVersion": "v1.34.4"}}' ;;
    *can-i*) echo yes ;;
    *)
        while [ "$1" != get ]; do shift; done
        cat "$0-$2" 2> /dev/null || { echo "error: the server doesn't have $2" >&2; exit 1; } ;;
esac
"""


def pod(*, is_ready: bool = True, reason: str = "") -> dict[str, Any]:
    terminated = {"terminated": {"reason": reason}} if reason else {}
    return {
        "metadata": {"name": "one", "namespace": "manta"},
        "spec": {"containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
            "containerStatuses": [{"restartCount": 2, "lastState": terminated}],
        },
    }


class Machine:
    """A machine with a kubectl and a Pulumi that answer from files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.objects: dict[str, list[dict[str, Any]]] = {
            "nodes": [NODE],
            "pods": [pod()],
            "storageclasses": [CLASS],
            "namespaces": [],
            "rayservices.ray.io": [SERVICE],
            "persistentvolumeclaims": [CLAIM],
        }

    def install(self) -> None:
        """Write the programs with what they are to answer."""
        self._program("kubectl", KUBECTL)
        for kind, objects in self.objects.items():
            (self._folder / f"kubectl-{kind}").write_text(json.dumps({"items": objects}))
        config = json.dumps({f"manta:{key}": {"value": value} for key, value in CONFIG.items()})
        answer = f"case $2 in config) echo '{config}' ;; stack) echo '{{}}' ;; *) echo v3 ;; esac"
        self._program("pulumi", f"#!/bin/sh\n{answer}\n")

    def _program(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)
        (self._folder / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Machine(tmp_path)


def before_up(machine: Machine, **config: str) -> dict[str, Finding]:
    machine.install()
    return {finding.check: finding for finding in preflight.findings(CONFIG | config)}


def after_up(machine: Machine) -> dict[str, Finding]:
    machine.install()
    return {finding.check: finding for finding in health.findings(OUTPUTS)}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every URL answers, if only with a refusal."""
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(httpx.codes.UNAUTHORIZED))


def test_a_machine_and_a_cluster_that_are_fit_have_no_findings_against_them(machine: Machine) -> None:
    found = before_up(machine)

    assert {finding.status for finding in found.values()} == {Status.OK}
    assert "room for an upgrade" in found


@pytest.mark.parametrize(
    ("kind", "objects", "check", "step"),
    [
        ("nodes", [{"status": {"allocatable": {"cpu": "900m", "memory": "8Gi"}}}], "room", "maxWorkers"),
        ("nodes", [{"status": {"allocatable": {"cpu": "4", "memory": "2Gi"}}}], "room", "node"),
        ("storageclasses", [{"metadata": {"name": "slow"}}], "storage class", "storageClass"),
        ("namespaces", [{"metadata": {"name": "manta"}}], "pod security", "namespace NAME"),
    ],
)
def test_what_is_wrong_with_the_cluster_is_found_with_a_next_step(
    machine: Machine, kind: str, objects: list[dict[str, Any]], check: str, step: str
) -> None:
    machine.objects[kind] = objects

    finding = before_up(machine)[check]

    assert finding.status is Status.WRONG
    assert step in finding.next_step


def test_a_cluster_with_room_for_one_ray_cluster_is_refused_the_upgrade_alone(machine: Machine) -> None:
    machine.objects["nodes"] = [{"status": {"allocatable": {"cpu": "1200m", "memory": "8Gi"}}}]

    found = before_up(machine)

    assert (found["room"].status, found["room for an upgrade"].status) == (Status.OK, Status.WRONG)


def test_what_the_stack_runs_already_does_not_count_as_taken() -> None:
    other = pod()
    other["metadata"]["namespace"] = "other"

    left = preflight.free([NODE], [pod(), other], but=("manta",))

    assert left == {"cpu": Decimal("3.5"), "memory": Decimal(7 * 1024**3)}


def test_a_tool_that_is_missing_is_named_with_its_page(machine: Machine) -> None:
    found = before_up(machine, imageBuilder="minikube")

    assert found["minikube"].status is Status.WRONG
    assert "minikube.sigs.k8s.io" in found["minikube"].next_step


def test_an_image_that_no_node_has_is_not_called_right(machine: Machine) -> None:
    found = before_up(machine, imageBuilder="prebuilt", image="registry.example.com/ray:1")

    assert found["image"].status is Status.UNSURE


@pytest.mark.usefixtures("answers")
def test_every_part_of_a_stack_that_is_well_is_ok(machine: Machine) -> None:
    found = after_up(machine)

    assert {finding.status for finding in found.values()} == {Status.OK}
    assert found["mlflow"].detail == "1 of 1 ready, 2 restarts"


@pytest.mark.usefixtures("answers")
def test_a_pod_that_died_is_told_with_its_reason_and_its_log(machine: Machine) -> None:
    machine.objects["pods"] = [pod(is_ready=False, reason="OOMKilled")]

    finding = after_up(machine)["mlflow"]

    assert finding.status is Status.WRONG
    assert "OOMKilled" in finding.detail
    assert finding.next_step == "kubectl logs --previous one -n manta"


def test_an_address_without_an_answer_leads_to_the_tunnels(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx, "get", refuse)

    assert after_up(machine)["Serve address"].next_step == "manta forward"


def test_the_exit_code_and_the_document_tell_whether_something_is_wrong(machine: Machine) -> None:
    machine.objects["storageclasses"] = []
    machine.install()

    result = CliRunner().invoke(cli, ["doctor", "--json"])

    document = json.loads(result.output)
    assert (result.exit_code, document["wrong"]) == (1, 1)
    assert [one["check"] for one in document["findings"] if one["status"] == "wrong"] == ["storage class"]
