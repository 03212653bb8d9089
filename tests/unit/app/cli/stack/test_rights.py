"""`manta doctor --rights`: one question per verb, and a result for each kind of object."""

import json
from pathlib import Path

import pytest

from app.cli.stack.doctor import rights
from app.cli.stack.doctor.checks import Status
from app.cli.stack.programs import Kubectl

CONFIG = {
    "namespace": "team",
    "operatorNamespace": "",
    "createNamespaces": "true",
    "installOperator": "true",
    "installCrds": "true",
    "networkPolicies": "true",
    "access": "port-forward",
    "trainSchedule": "",
    "driftSchedule": "",
    "monitoring": "none",
}
KUBECTL = """#!/bin/sh
cat > {file}
while read -r answer; do echo "$answer"; done < {answers}
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with a kubectl that stores its input in `input` and prints `answers`."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL.format(file=tmp_path / "input", answers=tmp_path / "answers"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def verbs_of(config: dict[str, str]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(right.resource, right.namespace): right.verbs for right in rights.required_rights(config)}


def test_each_right_is_asked_for_and_a_missing_verb_is_named(kubectl: Path) -> None:
    needed = rights.required_rights(CONFIG)
    questions = [(right, verb) for right in needed for verb in right.verbs]
    answers = ["false" if right is needed[0] and verb == "patch" else "true" for right, verb in questions]
    (kubectl / "answers").write_text("\n".join(answers) + "\n")

    first, *others = rights.run_checks(CONFIG, Kubectl("minikube"))

    assert (first.status, first.detail) == (Status.WRONG, "missing: patch")
    assert first.check.endswith("secrets in team")
    assert {result.status for result in others} == {Status.OK}
    reviews = json.loads((kubectl / "input").read_text())["items"]
    assert len(reviews) == len(questions)
    assert {"verb": "create", "group": "", "resource": "pods", "subresource": "exec", "namespace": "team"} in [
        review["spec"]["resourceAttributes"] for review in reviews
    ]


def test_without_a_cluster_the_list_is_still_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    results = list(rights.run_checks(CONFIG, Kubectl("minikube")))

    assert len(results) == len(rights.required_rights(CONFIG))
    assert {(result.status, result.detail) for result in results} == {(Status.UNSURE, "kubectl is not on PATH")}


def test_a_stack_that_shares_needs_fewer_rights() -> None:
    shared = CONFIG | {
        "createNamespaces": "false",
        "installOperator": "false",
        "installCrds": "false",
        "operatorNamespace": "kuberay-system",
    }

    all_rights, few_rights = verbs_of(CONFIG), verbs_of(shared)

    assert {namespace for _, namespace in few_rights} == {"team", ""}
    assert not [resource for resource, _ in few_rights if resource.startswith("role")]
    assert few_rights["namespaces", ""] == ("get",)
    assert "delete" in all_rights["namespaces", ""]
    assert set(few_rights["customresourcedefinitions.apiextensions.k8s.io", ""]) == {"get", "list"}
