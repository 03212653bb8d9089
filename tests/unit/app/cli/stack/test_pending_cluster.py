import json
from pathlib import Path

import pytest

from app.cli import destination
from app.cli.stack.outputs import StackError
from app.errors import ParameterError
from tests.support.json_object import JsonObject

OUTPUTS: JsonObject = {
    "context": "minikube",
    "namespace": "scoring",
    "image": "manta-ray:1",
    "rayDashboardUrl": "https://ray.example.com",
    "mlflowUrl": "http://localhost:8989",
    "serveUrl": "http://localhost:8000/fastapi_app",
    "rayToken": "of-the-stack",
    "stack": "prod",
    "forwards": [{"name": "ray", "namespace": "scoring", "service": "head", "port": 8265, "localPort": 8265}],
}

ACTIVE = {"rayClusterName": "manta-abcde", "rayClusterStatus": {"head": {"serviceName": "manta-abcde-head-svc"}}}
PENDING = {"rayClusterName": "manta-fghij", "rayClusterStatus": {"head": {"serviceName": "manta-fghij-head-svc"}}}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fake `pulumi`, and a fake `kubectl` that prints the file `services` and records its arguments."""
    (tmp_path / "outputs").write_text(json.dumps(OUTPUTS))
    for name, script in (
        ("pulumi", f'echo "$@" > {tmp_path}/pulumi-arguments; cat {tmp_path}/outputs'),
        ("kubectl", f'echo "$@" > {tmp_path}/kubectl-arguments; cat {tmp_path}/services'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_status(programs: Path, status: JsonObject) -> None:
    (programs / "services").write_text(json.dumps({"items": [{"metadata": {"name": "manta"}, "status": status}]}))


def test_a_job_for_the_pending_cluster_goes_through_a_tunnel_to_its_head(programs: Path) -> None:
    set_status(programs, {"activeServiceStatus": ACTIVE, "pendingServiceStatus": PENDING})

    result = destination.find_pending(stack="prod")

    tunnel = result.tunnels["ray"]
    assert (tunnel.service, tunnel.namespace, tunnel.port) == ("manta-fghij-head-svc", "scoring", 8265)
    assert (result.context, result.stack, result.endpoints.ray_token) == ("minikube", "prod", "of-the-stack")
    assert not result.is_local
    assert (programs / "pulumi-arguments").read_text().split()[-2:] == ["--stack", "prod"]
    assert (programs / "kubectl-arguments").read_text().split()[:2] == ["--context", "minikube"]


@pytest.mark.parametrize("pending", [None, {}, {"rayClusterName": ""}], ids=["missing", "empty", "without a name"])
def test_without_an_upgrade_in_progress_there_is_no_pending_cluster(programs: Path, pending: JsonObject | None) -> None:
    set_status(
        programs, {"activeServiceStatus": ACTIVE} | ({} if pending is None else {"pendingServiceStatus": pending})
    )

    with pytest.raises(StackError, match="no upgrade is in progress") as error:
        destination.find_pending()

    assert "pulumi up" in error.value.next_step
    assert "leave out --pending" in error.value.next_step


def test_a_pending_cluster_without_a_head_is_an_error_that_says_to_repeat(programs: Path) -> None:
    set_status(programs, {"activeServiceStatus": ACTIVE, "pendingServiceStatus": {"rayClusterName": "manta-fghij"}})

    with pytest.raises(StackError, match=r"manta-fghij has no head yet.*Repeat"):
        destination.find_pending()


def test_a_cluster_that_does_not_answer_is_an_error_with_its_context(programs: Path) -> None:
    (programs / "kubectl").write_text("#!/bin/sh\necho 'connection refused' >&2\nexit 1\n")

    with pytest.raises(StackError, match=r"cannot be read: .*connection refused.*minikube"):
        destination.find_pending()


def test_a_pending_cluster_has_no_address() -> None:
    with pytest.raises(ParameterError, match="--pending and --address"):
        destination.find_pending(address="http://ray:8265")
