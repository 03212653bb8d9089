import fcntl
import json
import sys
from pathlib import Path

import httpx
import pytest

from app.cli import destination
from app.cli.endpoints import Endpoints
from app.cli.stack.outputs import StackOutputs
from app.errors import PlatformError
from app.settings import Settings
from tests.support.json_object import JsonObject

LOCAL = Endpoints(ray_url="http://127.0.0.1:7777")
OUTPUTS: JsonObject = {
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
    """A working directory in which a platform ran once, and a fake `pulumi` that writes its arguments to a file."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    (tmp_path / "outputs").write_text(json.dumps(OUTPUTS))
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat {tmp_path}/outputs\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    work = tmp_path / "work"
    (work / ".manta").mkdir(parents=True)
    LOCAL.write(work / ".manta")
    (work / ".manta" / "token").write_text("of-this-folder")
    (work / ".manta" / "lock").touch()
    monkeypatch.chdir(work)
    return work


def test_an_address_and_a_token_have_priority_over_everything_else(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()

    environment = Settings(ray_token="of-the-environment")  # noqa: S106 - a token of a test

    result = destination.find_ray(environment, address="http://ray:1/", token="option-token")  # noqa: S106 - a token of a test

    assert (result.endpoints.ray_url, result.endpoints.ray_token) == ("http://ray:1", "option-token")
    assert not result.is_local


def test_an_address_is_used_with_the_token_of_the_environment() -> None:
    result = destination.find_ray(Settings(ray_token="of-the-environment"), address="http://ray:1")  # noqa: S106 - a token of a test

    assert result.endpoints.ray_token == "of-the-environment"  # noqa: S105 - a token of a test


def test_a_named_stack_has_priority_over_the_environment_and_over_a_running_platform(folder: Path) -> None:
    with (folder / ".manta" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        result = destination.find_ray(Settings(ray_dashboard_url="http://ray:1"), stack="dev")

    assert (result.stack, result.endpoints.ray_token, result.context) == ("dev", "of-the-stack", "minikube")
    assert (folder.parent / "arguments").read_text().split()[-3:] == ["--show-secrets", "--stack", "dev"]


def test_secrets_of_a_stack_are_not_read_if_a_token_is_given(folder: Path) -> None:
    result = destination.find_ray(Settings(), stack="dev", token="option-token")  # noqa: S106 - a token of a test

    assert result.endpoints.ray_token == "option-token"  # noqa: S105 - a token of a test
    assert "--show-secrets" not in (folder.parent / "arguments").read_text()


def test_a_platform_that_runs_in_the_folder_has_priority_over_the_selected_stack(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()
    with (folder / ".manta" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        result = destination.find_ray(Settings())

    assert result.is_local
    assert (result.endpoints.ray_url, result.endpoints.ray_token) == ("http://127.0.0.1:7777", "of-this-folder")


def test_a_platform_that_has_ended_is_not_used(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()

    assert destination.find_ray(Settings()).stack == "dev"


@pytest.mark.usefixtures("folder")
def test_without_a_platform_and_a_stack_the_error_says_how_to_get_one() -> None:
    with pytest.raises(PlatformError, match=r"manta local.*--address"):
        destination.find_ray(Settings())


@pytest.mark.parametrize("address", ["ray:8265", "ftp://ray", "localhost"])
def test_an_address_that_is_not_an_http_url_is_refused(address: str) -> None:
    with pytest.raises(PlatformError, match="not an address"):
        destination.find_ray(Settings(), address=address)


def test_a_stack_on_localhost_is_reached_through_the_tunnel_to_ray() -> None:
    result = destination.from_stack(StackOutputs.model_validate(OUTPUTS))

    assert {part: tunnel.port for part, tunnel in result.tunnels.items()} == {"ray": 8265, "mlflow": 5000}


def test_a_stack_with_a_public_address_needs_no_tunnel() -> None:
    remote = OUTPUTS | {"rayDashboardUrl": "https://ray.example.com"}

    result = destination.from_stack(StackOutputs.model_validate(remote))

    assert "ray" not in result.tunnels
    assert result.endpoints.ray_url == "https://ray.example.com"


WITH_SERVICE = OUTPUTS | {
    "serveUrl": "http://localhost:8000/scores/v1",
    "serveToken": "of-the-service",
    "mlflowUsername": "admin",
    "mlflowPassword": "of-mlflow",
    "modelName": "houses",
    "forwards": [
        {"name": name, "namespace": "manta", "service": name, "port": port, "localPort": port}
        for name, port in (("mlflow", 5000), ("ray", 8265), ("serve", 8000))
    ],
}


def test_a_stack_gives_the_service_with_its_route_prefix_and_all_credentials() -> None:
    result = destination.from_stack(StackOutputs.model_validate(WITH_SERVICE))

    assert result.endpoints.api_url == "http://localhost:8000/scores/v1"
    assert result.endpoints.serve_headers == {"Authorization": "Bearer of-the-service"}
    assert result.endpoints.mlflow_auth == ("admin", "of-mlflow")
    assert result.endpoints.model_name == "houses"
    assert set(result.tunnels) == {"ray", "mlflow", "serve"}


@pytest.mark.parametrize(("output", "is_shown"), [({"showExamples": False}, False), ({}, True)])
def test_a_stack_says_whether_rows_may_be_shown(output: dict[str, bool], is_shown: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    result = destination.from_stack(StackOutputs.model_validate(WITH_SERVICE | output))

    assert result.endpoints.show_examples is is_shown


def test_the_service_of_a_stack_may_be_the_root() -> None:
    outputs = StackOutputs.model_validate(WITH_SERVICE | {"serveUrl": "https://scores.example.com"})

    result = destination.from_stack(outputs)

    assert result.endpoints.api_url == "https://scores.example.com"
    assert "serve" not in result.tunnels


def test_the_environment_replaces_a_part_of_the_selected_stack_without_its_token(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()
    (folder.parent / "outputs").write_text(json.dumps(WITH_SERVICE))

    result = destination.find(Settings(serve_url="http://other:1"), "serve", "mlflow")

    assert (result.endpoints.api_url, result.endpoints.serve_token) == ("http://other:1/fastapi_app", "")
    assert result.endpoints.mlflow_auth == ("admin", "of-mlflow")
    assert set(result.tunnels) == {"ray", "mlflow"}


def test_a_stack_is_not_read_if_the_environment_names_all_parts(folder: Path) -> None:
    (folder / "Pulumi.yaml").touch()

    destination.find(Settings(serve_url="http://other:1"), "serve")

    assert not (folder.parent / "arguments").exists()


def test_a_part_is_reached_through_a_tunnel_while_the_block_runs(
    folder: Path,
) -> None:
    """A program in place of `kubectl` serves HTTP on the local port, as a tunnel does."""
    program = folder.parent / "bin" / "kubectl"
    program.write_text(
        f"#!{sys.executable}\nimport http.server, sys\nport = int(sys.argv[-1].split(':')[0])\n"
        "http.server.HTTPServer(('127.0.0.1', port), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
    )
    program.chmod(0o755)
    platform = destination.from_stack(StackOutputs.model_validate(WITH_SERVICE))

    with platform.open("serve") as endpoints:
        status = httpx.get(endpoints.serve_url).status_code

    assert status == 200
    assert endpoints.api_url.endswith("/scores/v1")
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoints.serve_url)
