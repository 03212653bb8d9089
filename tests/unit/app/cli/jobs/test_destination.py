import fcntl
import json
from pathlib import Path
from typing import Any

import pytest

from app.cli.endpoints import Target
from app.cli.jobs import destination
from app.cli.stack import outputs
from app.errors import PlatformError
from app.settings import Settings

LOCAL = Target(ray_url="http://127.0.0.1:7777")
OUTPUTS: dict[str, Any] = {
    "context": "minikube",
    "namespace": "manta",
    "image": "manta-ray:1",
    "rayDashboardUrl": "http://localhost:8265",
    "mlflowUrl": "http://localhost:8989",
    "serveUrl": "http://localhost:8000/fastapi_app",
    "rayToken": "of-the-stack",
    "stack": "dev",
    "forwards": [
        {"name": name, "namespace": "manta", "service": name, "port": port, "localPort": port}
        for name, port in (("mlflow", 5000), ("ray", 8265))
    ],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which a platform ran once, with `pulumi` on PATH, whose arguments go to `asked`."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    (tmp_path / "answer").write_text(json.dumps(OUTPUTS))
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncat {tmp_path}/answer\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    work = tmp_path / "work"
    (work / ".manta").mkdir(parents=True)
    LOCAL.write(work / ".manta")
    (work / ".manta" / "token").write_text("of-this-folder")
    (work / ".manta" / "lock").touch()
    monkeypatch.chdir(work)
    return work


def test_an_address_comes_before_everything_with_the_token_that_is_given(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()

    found = destination.find(Settings(ray_token="of-the-environment"), address="http://ray:1/", token="given")  # noqa: S106

    assert (found.target.ray_url, found.target.ray_token) == ("http://ray:1", "given")
    assert not found.is_here


def test_an_address_takes_the_token_of_the_environment() -> None:
    found = destination.find(Settings(ray_token="of-the-environment"), address="http://ray:1")  # noqa: S106

    assert found.target.ray_token == "of-the-environment"  # noqa: S105


def test_a_named_stack_comes_before_the_environment_and_a_running_platform(folder: Path) -> None:
    with (folder / ".manta" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        found = destination.find(Settings(ray_dashboard_url="http://ray:1"), stack_name="dev")

    assert (found.stack, found.target.ray_token, found.context) == ("dev", "of-the-stack", "minikube")
    assert (folder.parent / "asked").read_text().split()[-3:] == ["--show-secrets", "--stack", "dev"]


def test_secrets_of_a_stack_are_not_asked_for_where_a_token_is_given(folder: Path) -> None:
    found = destination.find(Settings(), stack_name="dev", token="given")  # noqa: S106

    assert found.target.ray_token == "given"  # noqa: S105
    assert "--show-secrets" not in (folder.parent / "asked").read_text()


def test_a_platform_that_runs_in_the_folder_comes_before_the_selected_stack(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()
    with (folder / ".manta" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        found = destination.find(Settings())

    assert found.is_here
    assert (found.target.ray_url, found.target.ray_token) == ("http://127.0.0.1:7777", "of-this-folder")


def test_a_platform_that_ran_once_is_not_taken_for_one_that_runs(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()

    assert destination.find(Settings()).stack == "dev"


@pytest.mark.usefixtures("folder")
def test_without_platform_and_stack_the_ways_to_one_are_told() -> None:
    with pytest.raises(PlatformError, match=r"manta local.*--address"):
        destination.find(Settings())


@pytest.mark.parametrize("address", ["ray:8265", "ftp://ray", "localhost"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(PlatformError, match="no address"):
        destination.find(Settings(), address=address)


def test_a_stack_behind_tunnels_is_reached_by_the_one_to_ray() -> None:
    found = destination.of_stack(outputs.Outputs.model_validate(OUTPUTS))

    assert found.tunnel is not None
    assert found.tunnel.port == 8265


def test_a_stack_with_an_address_needs_no_tunnel() -> None:
    remote = OUTPUTS | {"rayDashboardUrl": "https://ray.example.com"}

    found = destination.of_stack(outputs.Outputs.model_validate(remote))

    assert found.tunnel is None
    assert found.target.ray_url == "https://ray.example.com"
