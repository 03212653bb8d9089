import json
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from app import names
from app.cli.main import cli
from app.cli.stack.doctor import health, preflight, resources
from app.cli.stack.doctor.checks import CheckResult, Status
from app.cli.stack.outputs import StackOutputs
from tests.support.json_object import JsonObject
from tests.support.kubernetes_objects import operator

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
    "createNamespaces": "true",
    "installOperator": "true",
    "installCrds": "true",
    "operatorNamespace": "",
}
NODE = {"metadata": {"name": "node"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}
CLASS = {"metadata": {"name": "standard", "annotations": {preflight.DEFAULT_CLASS_ANNOTATION: "true"}}}
CLAIM = {"metadata": {"name": "data"}, "status": {"phase": "Bound"}}
SERVICE: JsonObject = {"metadata": {"name": "manta"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
FORWARD = {"name": "ray", "namespace": "manta", "service": "head", "port": 8265, "localPort": 8265}
OUTPUTS = StackOutputs.model_validate(
    {
        "context": "minikube",
        "namespace": "manta",
        "operatorNamespace": "manta-operator",
        "image": "manta-ray:1",
        "rayDashboardUrl": "http://localhost:8265",
        "mlflowUrl": "http://localhost:8989",
        "serveUrl": "http://localhost:8000/fastapi_app",
        "forwards": [FORWARD],
    }
)
KUBECTL = """#!/bin/sh
case "$*" in
    *app.dependencies*) echo "[]" ;;
    *exec*) cat "$0-log" 2> /dev/null ;;
    *version*) echo '{"serverVersion": {"gitVersion": "v1.34.4"}}' ;;
    *can-i*) echo yes ;;
    *)
        while [ "$1" != get ]; do shift; done
        cat "$0-$2" 2> /dev/null || { echo "error: the server doesn't have $2" >&2; exit 1; } ;;
esac
"""


def pod(*, is_ready: bool = True, reason: str = "") -> JsonObject:
    terminated = {"terminated": {"reason": reason}} if reason else {}
    return {
        "metadata": {"name": "pod-1", "namespace": "manta", "creationTimestamp": "2026-11-29T23:59:01Z"},
        "spec": {"containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": str(is_ready)}],
            "containerStatuses": [{"restartCount": 2, "lastState": terminated}],
        },
    }


class Machine:
    """A folder with a fake `kubectl` and a fake `pulumi` that answer from files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.objects: dict[str, list[JsonObject]] = {
            "nodes": [NODE],
            "pods": [pod()],
            "storageclasses": [CLASS],
            "namespaces": [],
            "rayservices.ray.io": [SERVICE],
            "persistentvolumeclaims": [CLAIM],
            "deployments.apps": [operator("--watch-namespace", "manta", namespace="manta-operator")],
            "customresourcedefinitions": [],
        }

    def install(self) -> None:
        """Write the programs and their answers."""
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


def preflight_results(machine: Machine, **config: str) -> dict[str, CheckResult]:
    machine.install()
    return {result.check: result for result in preflight.run_checks(CONFIG | config)}


def health_results(machine: Machine, *, has_redis: bool = True) -> dict[str, CheckResult]:
    machine.install()
    return {result.check: result for result in health.run_checks(OUTPUTS, has_redis=has_redis)}


@pytest.fixture
def reachable_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every URL answers with 401."""
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(httpx.codes.UNAUTHORIZED))


def test_every_check_passes_on_a_suitable_machine_and_cluster(machine: Machine) -> None:
    results = preflight_results(machine)

    assert {result.status for result in results.values()} == {Status.OK}
    assert "room for an upgrade" in results


@pytest.mark.parametrize(
    ("kind", "objects", "check", "next_step"),
    [
        ("nodes", [{"status": {"allocatable": {"cpu": "900m", "memory": "8Gi"}}}], "room", "maxWorkers"),
        ("nodes", [{"status": {"allocatable": {"cpu": "4", "memory": "2Gi"}}}], "room", "node"),
        ("storageclasses", [{"metadata": {"name": "slow"}}], "storage class", "storageClass"),
        ("namespaces", [{"metadata": {"name": "manta"}}], "pod security", "namespace NAME"),
        ("deployments.apps", [operator()], "kuberay operator", "installOperator false"),
    ],
)
def test_a_problem_of_the_cluster_fails_its_check_with_a_next_step(
    machine: Machine, kind: str, objects: list[JsonObject], check: str, next_step: str
) -> None:
    machine.objects[kind] = objects

    result = preflight_results(machine)[check]

    assert result.status is Status.WRONG
    assert next_step in result.next_step


def test_room_for_one_ray_cluster_fails_only_the_upgrade_check(machine: Machine) -> None:
    machine.objects["nodes"] = [{"status": {"allocatable": {"cpu": "1200m", "memory": "8Gi"}}}]

    results = preflight_results(machine)

    assert (results["room"].status, results["room for an upgrade"].status) == (Status.OK, Status.WRONG)


def test_pods_of_the_stack_do_not_reduce_the_free_resources() -> None:
    other = pod()
    other["metadata"]["namespace"] = "other"

    free = resources.free_resources([NODE], [pod(), other], ignored_namespaces=("manta",))

    assert free == {"cpu": Decimal("3.5"), "memory": Decimal(7 * 1024**3)}


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("2", "2"),
        ("1.5Gi", str(3 * 1024**3 // 2)),
        ("500m", "0.5"),
        ("100n", "1e-7"),
        ("100u", "1e-4"),
        ("16k", "16000"),
        ("1T", "1e12"),
        ("1Pi", str(1024**5)),
        ("2Ei", str(2 * 1024**6)),
        ("3E", "3e18"),
        ("12e6", "12e6"),
        ("1E3", "1000"),
    ],
)
def test_a_quantity_is_parsed_with_every_suffix_of_kubernetes(quantity: str, value: str) -> None:
    assert resources.parse_quantity(quantity) == Decimal(value)


@pytest.mark.parametrize("quantity", ["", "much", "1GB", "1 Gi", "Gi"])
def test_a_text_that_is_not_a_quantity_is_refused(quantity: str) -> None:
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        resources.parse_quantity(quantity)


@pytest.mark.parametrize(("key", "value"), [("target", "moon"), ("cpus", "two"), ("memory", "much")])
def test_an_invalid_value_of_the_configuration_fails_the_room_check(machine: Machine, key: str, value: str) -> None:
    result = preflight_results(machine, **{key: value})["room"]

    assert result.status is Status.WRONG
    assert value in result.detail
    assert result.next_step == f"pulumi config set {key} VALUE"


def test_a_missing_tool_fails_with_its_installation_page(machine: Machine) -> None:
    results = preflight_results(machine, imageBuilder="minikube")

    assert results["minikube"].status is Status.WRONG
    assert "minikube.sigs.k8s.io" in results["minikube"].next_step


def test_a_prebuilt_image_that_is_on_no_node_is_unsure(machine: Machine) -> None:
    results = preflight_results(machine, imageBuilder="prebuilt", image="registry.example.com/ray:1")

    assert results["image"].status is Status.UNSURE


@pytest.mark.usefixtures("reachable_addresses")
def test_every_check_passes_for_a_healthy_stack(machine: Machine) -> None:
    results = health_results(machine)

    assert {result.status for result in results.values()} == {Status.OK}
    assert results["mlflow"].detail == "1 of 1 ready, 2 restarts"


@pytest.mark.usefixtures("reachable_addresses")
def test_a_pod_that_is_not_ready_fails_with_its_reason_and_the_command_for_its_log(machine: Machine) -> None:
    machine.objects["pods"] = [pod(is_ready=False, reason="OOMKilled")]

    result = health_results(machine)["mlflow"]

    assert result.status is Status.WRONG
    assert "OOMKilled" in result.detail
    assert result.next_step == "kubectl logs --previous pod-1 -n manta"


@pytest.mark.usefixtures("reachable_addresses")
def test_a_stack_with_an_external_redis_has_no_pod_of_redis_to_check(machine: Machine) -> None:
    assert "redis" not in health_results(machine, has_redis=False)


REFUSAL = "m version 3 was fitted with scikit-learn 0.9.7"
NOT_READY_LINE = f"ERROR 2026-01-01 manta_ModelServer -- {names.NOT_READY_MESSAGE}: {REFUSAL}\n"


@pytest.mark.usefixtures("reachable_addresses")
@pytest.mark.parametrize(
    ("log", "status", "detail"),
    [
        (NOT_READY_LINE, Status.WRONG, f"manta-new is not ready: {REFUSAL}"),
        ("", Status.OK, "manta-new is starting"),
        (None, Status.OK, "manta-new is starting"),
    ],
    ids=["refused champion", "no message", "no log"],
)
def test_the_pending_cluster_of_an_upgrade_is_checked(
    machine: Machine, tmp_path: Path, log: str | None, status: Status, detail: str
) -> None:
    pending = {"pendingServiceStatus": {"rayClusterName": "manta-new"}}
    machine.objects["rayservices.ray.io"] = [SERVICE | {"status": SERVICE["status"] | pending}]
    if log is not None:
        (tmp_path / "kubectl-log").write_text(log)

    result = health_results(machine)["pending ray cluster"]

    assert (result.status, result.detail) == (status, detail)
    assert ("manta train --pending" in result.next_step) == (status is Status.WRONG)


def test_an_unreachable_address_suggests_manta_forward(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx, "get", refuse)

    assert health_results(machine)["Serve address"].next_step == "manta forward"


def test_a_failed_check_sets_the_exit_code_and_the_json_output(machine: Machine) -> None:
    machine.objects["storageclasses"] = []
    machine.install()

    command = CliRunner().invoke(cli, ["doctor", "--json"])

    document = json.loads(command.output)
    assert (command.exit_code, document["wrong"]) == (1, 1)
    assert [result["check"] for result in document["findings"] if result["status"] == "wrong"] == ["storage class"]
