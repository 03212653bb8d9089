import json
from pathlib import Path

import pytest

from app.cli.stack.outputs import StackError, read_configuration, read_outputs

OUTPUTS = {
    "context": "minikube",
    "namespace": "manta",
    "image": "manta-ray:1",
    "rayDashboardUrl": "http://localhost:8265",
    "mlflowUrl": "http://localhost:8989",
    "serveUrl": "http://localhost:8000/fastapi_app",
    "rayToken": "[secret]",
    "forwards": [{"name": "ray", "namespace": "manta", "service": "head", "port": 8265, "localPort": 8265}],
}


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fake `pulumi` that prints the file `answer` and writes its arguments to the file `arguments`."""
    program = tmp_path / "pulumi"
    program.write_text(
        '#!/bin/sh\ncd "$(dirname "$0")"\necho "$@" > arguments\ncat answer 2>/dev/null && exit 0\n'
        "echo error: no stack selected >&2\nexit 255\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_outputs_are_read_from_the_named_stack(pulumi: Path) -> None:
    (pulumi / "answer").write_text(json.dumps(OUTPUTS))

    outputs = read_outputs("prod")

    assert outputs.forwards[0].local_port == 8265
    assert (pulumi / "arguments").read_text().split() == [
        "--non-interactive",
        "stack",
        "output",
        "--json",
        "--stack",
        "prod",
    ]


def test_without_outputs_the_error_says_to_run_pulumi_up(pulumi: Path) -> None:
    (pulumi / "answer").write_text("{}")

    with pytest.raises(StackError, match=r"no outputs context, forwards.*pulumi up"):
        read_outputs()


def test_an_error_of_pulumi_is_shown_with_a_next_step(pulumi: Path) -> None:
    with pytest.raises(StackError, match=r"no stack selected.*pulumi stack select"):
        read_outputs()

    assert (pulumi / "arguments").exists()


def test_without_pulumi_the_error_links_to_its_installation_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackError, match=r"not on PATH.*install"):
        read_outputs()


def test_configuration_is_read_without_secrets_and_without_the_prefix(pulumi: Path) -> None:
    entries = {"manta:cpus": {"value": "2", "secret": False}, "manta:rayToken": {"secret": True}}
    (pulumi / "answer").write_text(json.dumps(entries))

    assert read_configuration() == {"cpus": "2"}


def test_the_profile_replaces_the_defaults_of_keys_that_the_stack_does_not_set(
    pulumi: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"profile": "production", "cpus": "1", "minWorkers": "1", "maxWorkers": "20"}
    (pulumi / "answer").write_text(json.dumps({f"manta:{key}": {"value": value} for key, value in values.items()}))
    project = pulumi / "project"
    (project / "infra" / "config").mkdir(parents=True)
    profiles = {"production": {"cpus": 4, "minWorkers": 2, "maxWorkers": 10}}
    (project / "infra" / "config" / "profiles.yaml").write_text(json.dumps(profiles))
    declarations = {"cpus": {"default": 1}, "minWorkers": {"default": 1}, "maxWorkers": {"default": 2}}
    (project / "Pulumi.yaml").write_text(json.dumps({"config": declarations}))
    (project / "Pulumi.prod.yaml").write_text("config:\n  manta:minWorkers: 1\n")
    monkeypatch.chdir(project / "infra")

    configuration = read_configuration("prod")

    assert configuration == values | {"cpus": "4"}
