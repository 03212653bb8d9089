import json
from pathlib import Path

import pytest

from app.cli.stack import outputs
from app.cli.stack.outputs import StackError

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
    """A program in Pulumi's place: what it says stands in `answer`, with its arguments in `asked`."""
    program = tmp_path / "pulumi"
    program.write_text(
        '#!/bin/sh\ncd "$(dirname "$0")"\necho "$@" > asked\ncat answer 2>/dev/null && exit 0\n'
        "echo error: no stack selected >&2\nexit 255\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_outputs_are_those_of_the_named_stack(pulumi: Path) -> None:
    (pulumi / "answer").write_text(json.dumps(OUTPUTS))

    found = outputs.outputs("prod")

    assert found.forwards[0].local_port == 8265
    assert (pulumi / "asked").read_text().split() == [
        "--non-interactive",
        "stack",
        "output",
        "--json",
        "--stack",
        "prod",
    ]


def test_a_stack_that_is_not_up_is_told_to_be_brought_up(pulumi: Path) -> None:
    (pulumi / "answer").write_text("{}")

    with pytest.raises(StackError, match=r"no outputs context, forwards.*pulumi up"):
        outputs.outputs()


def test_an_error_of_pulumi_is_repeated_with_a_next_step(pulumi: Path) -> None:
    with pytest.raises(StackError, match=r"no stack selected.*pulumi stack select"):
        outputs.outputs()

    assert (pulumi / "asked").exists()


def test_a_machine_without_pulumi_is_told_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(StackError, match=r"not on PATH.*install"):
        outputs.outputs()


def test_configuration_leaves_secrets_and_the_projects_name_out(pulumi: Path) -> None:
    entries = {"manta:cpus": {"value": "2", "secret": False}, "manta:rayToken": {"secret": True}}
    (pulumi / "answer").write_text(json.dumps(entries))

    assert outputs.configuration() == {"cpus": "2"}
