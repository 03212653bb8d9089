"""Commands reach the cluster by the kubeconfig of the stack, if the stack has one."""

import json
import os
from pathlib import Path

import pytest

from app.cli.stack import kubeconfig, outputs

OUTPUTS: dict[str, object] = {
    "context": "manta-prod",
    "namespace": "manta",
    "image": "manta-ray:1",
    "rayDashboardUrl": "http://localhost:8265",
    "mlflowUrl": "http://localhost:8989",
    "serveUrl": "http://localhost:8000/fastapi_app",
    "forwards": [{"name": "ray", "namespace": "manta", "service": "head", "port": 8265, "localPort": 8265}],
}
PULUMI = """#!/bin/sh
case "$*" in
    *config*) cat "$0-config" ;;
    *show-secrets*) cat "$0-secrets" ;;
    *) cat "$0-outputs" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a fake `pulumi` that answers from files."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("KUBECONFIG", "/of/the/user")
    (tmp_path / "pulumi").write_text(PULUMI)
    (tmp_path / "pulumi").chmod(0o755)
    return tmp_path


def answer(folder: Path, kind: str, document: dict[str, object]) -> None:
    (folder / f"pulumi-{kind}").write_text(json.dumps(document))


def test_kubectl_reads_the_kubeconfig_of_the_stack_from_a_file_of_this_user(folder: Path) -> None:
    answer(folder, "outputs", OUTPUTS | {"kubeconfig": outputs.HIDDEN})
    answer(folder, "secrets", OUTPUTS | {"kubeconfig": "clusters: []"})

    outputs.read_outputs()

    file = Path(os.environ["KUBECONFIG"])
    assert file.read_text() == "clusters: []"
    assert file.parent.stat().st_mode & 0o077 == 0


def test_kubectl_keeps_its_own_files_without_a_kubeconfig_in_the_stack(folder: Path) -> None:
    answer(folder, "outputs", OUTPUTS | {"kubeconfig": ""})

    outputs.read_outputs()
    kubeconfig.use("")

    assert os.environ["KUBECONFIG"] == "/of/the/user"


def test_keys_of_other_projects_do_not_replace_those_of_the_stack(folder: Path) -> None:
    keys = {"kubernetes:context": {"value": "other"}, "manta:context": {"value": "mine"}, "aws:region": {"value": "x"}}
    answer(folder, "config", dict(reversed(keys.items())))

    assert outputs.read_configuration() == {"context": "mine"}
