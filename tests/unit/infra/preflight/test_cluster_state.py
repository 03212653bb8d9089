"""Reading the cluster with kubectl: which requests are made, and what a failed request leaves out."""

import json
from pathlib import Path

import pytest

from infra.preflight.cluster_state import Reader, Wanted

KUBECTL = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
    *"--raw /version"*) echo '{{"gitVersion": "v1.34.4"}}' ;;
    *" namespace "*) echo '{{"kind": "Namespace", "metadata": {{"name": "manta"}}}}' ;;
    *" deployments.apps "*) echo 'Error from server (Forbidden): no rights' >&2; exit 1 ;;
    *" customresourcedefinitions "*) ;;
    *" secret "*) echo secret/login ;;
esac
"""
WANTED = Wanted(namespaces=["manta", "manta-operator"], secrets={"manta": ["login", "other"], "manta-operator": []})


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log of the calls of a kubectl that is first on PATH."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(log=tmp_path / "log"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "log"


def test_one_object_no_object_and_a_list_are_read(log: Path) -> None:
    state = Reader(context="minikube").read(WANTED)

    assert state.version == "v1.34.4"
    assert list(state.namespaces or {}) == ["manta"]
    assert state.crds == {}
    assert state.secrets == {"manta": ["login"]}
    assert all("--context minikube" in line for line in log.read_text().splitlines())


def test_what_may_not_be_read_is_none_and_its_reason_is_kept(log: Path) -> None:
    state = Reader(context="minikube").read(WANTED)

    assert state.operators is None
    assert state.errors == ["Error from server (Forbidden): no rights"]
    assert log.exists()


def test_a_kubeconfig_of_the_configuration_is_used_and_removed(log: Path) -> None:
    Reader(context="", kubeconfig=json.dumps({"kind": "Config"})).read(WANTED)

    first = log.read_text().splitlines()[0].split()
    file = Path(first[first.index("--kubeconfig") + 1])
    assert not file.exists()
    assert "--context" not in first


def test_without_kubectl_there_is_one_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    state = Reader(context="minikube").read(WANTED)

    assert (state.version, state.errors) == (None, ["kubectl is not on PATH"])
