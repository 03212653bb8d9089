"""`manta doctor` shows what the checks in the Ray head say."""

import json
from pathlib import Path

import pytest

from app.cli.json_object import JsonObject
from app.cli.stack.doctor import dependencies
from app.cli.stack.doctor.checks import CheckResult, Status
from app.cli.stack.programs import Kubectl

HEAD: JsonObject = {
    "metadata": {"name": "manta-head", "creationTimestamp": "2026-11-29T23:59:01Z"},
    "status": {"phase": "Running"},
}
WRONG = {"check": "redis", "status": "wrong", "detail": "Redis is full.", "next_step": "Give Redis more memory."}
WARNING = {"check": "mlflow", "status": "warning", "detail": "not tried", "next_step": ""}


def results(folder: Path, monkeypatch: pytest.MonkeyPatch, output: str, *heads: JsonObject) -> list[CheckResult]:
    kubectl = folder / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat << 'END'\n{output}\nEND\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return list(dependencies.run_checks(Kubectl("minikube"), "manta", list(heads)))


def test_each_result_is_shown_with_its_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = "a line of a library\n" + json.dumps([WRONG, WARNING])

    redis, mlflow = results(tmp_path, monkeypatch, output, HEAD)

    assert redis == CheckResult("ray > redis", Status.WRONG, "Redis is full.", "Give Redis more memory.")
    assert mlflow.status is Status.UNSURE


def test_a_head_that_cannot_run_the_checks_is_unsure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (result,) = results(tmp_path, monkeypatch, "No module named app.dependencies", HEAD)

    assert result.status is Status.UNSURE
    assert result.next_step == "kubectl logs manta-head -n manta"


def test_the_head_of_an_upgrade_is_asked_and_not_the_one_that_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old: JsonObject = {
        "metadata": {"name": "manta-old-head", "creationTimestamp": "2026-11-29T23:12:44Z"},
        "status": {"phase": "Running"},
    }

    for heads in ([old, HEAD], [HEAD, old]):
        (result,) = results(tmp_path, monkeypatch, "no JSON", *heads)

        assert result.next_step == "kubectl logs manta-head -n manta"


def test_without_a_head_that_runs_nothing_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pending: JsonObject = {"metadata": {"name": "manta-head"}, "status": {"phase": "Pending"}}

    assert results(tmp_path, monkeypatch, "[]", pending) == []
