"""`make up`, `make down` and `make clean`."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.clone import NO_STACK, PROJECT, Clone


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_up_starts_minikube_logs_in_and_brings_the_stack_up(clone: Clone) -> None:
    clone.tool("minikube", "status) exit 1 ;;")
    clone.tool("pulumi", NO_STACK, "whoami*) exit 1 ;;")

    result = clone.run("up")

    assert result.returncode == 0, result.stderr
    assert clone.calls == [
        "minikube status",
        "minikube start --cpus 4 --memory 8g",
        "pulumi whoami --non-interactive",
        "pulumi login --local",
        "pulumi stack export --stack dev --non-interactive",
        "minikube profile",
        "pulumi stack select dev --create",
        "pulumi up --yes --stack dev",
        "manta forward --stack dev",
    ]


def test_up_uses_a_running_minikube_and_an_existing_login(clone: Clone) -> None:
    clone.run("up", STACK="mine")

    assert not [call for call in clone.calls if call.startswith(("minikube start", "pulumi login"))]
    assert "pulumi up --yes --stack mine" in clone.calls


def test_up_prints_each_command_that_changes_something(clone: Clone) -> None:
    clone.tool("minikube", "status) exit 1 ;;", "profile) echo minikube-2 ;;")
    clone.tool("pulumi", NO_STACK, "whoami*) exit 1 ;;")

    printed = clone.run("up").stdout

    queries = ("minikube status", "minikube profile", "pulumi whoami", "pulumi stack export")
    for call in clone.calls:
        assert call.startswith(queries) or call in printed


def test_up_names_every_missing_tool_with_its_installation(clone: Clone) -> None:
    for tool in ("minikube", "pulumi"):
        (clone.bin / tool).unlink()

    result = clone.run("up")

    assert result.returncode == 1
    assert "minikube is not on PATH. Install it: brew install minikube" in result.stderr
    assert "pulumi is not on PATH. Install it: curl" in result.stderr


@pytest.mark.parametrize(("answer", "context"), [("", "minikube"), ("profile) echo minikube-2 ;;", "minikube-2")])
def test_up_gives_a_new_stack_the_context_of_the_minikube_profile(clone: Clone, answer: str, context: str) -> None:
    clone.tool("minikube", answer)

    result = clone.run("up", STACK="acme/manta/mine")

    assert result.returncode == 0, result.stderr
    assert f"pulumi config set --stack acme/manta/mine context {context}" in clone.calls


def test_up_changes_no_settings_that_name_a_context(clone: Clone) -> None:
    text = "config:\n  manta:context: kind-mine\n"
    clone.settings("mine").write_text(text)

    clone.run("up", STACK="mine")

    assert clone.settings("mine").read_text() == text
    assert not [call for call in clone.calls if "config set" in call]


def test_up_sets_a_missing_context(clone: Clone) -> None:
    clone.settings("mine").write_text("config:\n  manta:cpus: 2\n")

    clone.run("up", STACK="mine")

    assert "pulumi config set --stack mine context minikube" in clone.calls


def test_the_printed_commands_prepare_another_terminal(clone: Clone) -> None:
    backend = {"PULUMI_BACKEND_URL": "file:///it's there", "KUBECONFIG": "/k/a:/k/b"}
    printed = clone.run("up", **backend).stdout.split("In another terminal:")[1]
    preparing = [
        line for line in printed.splitlines() if line.startswith(("  cd ", "  export PULUMI", "  export KUBE"))
    ]

    variables = ("PULUMI_BACKEND_URL", "KUBECONFIG", "PULUMI_CONFIG_PASSPHRASE_FILE", "MANTA_IS_ACTIVE", "PWD")
    show = " ".join(f'"${variable}"' for variable in variables)
    answer = subprocess.run(
        ["sh", "-c", "\n".join([*preparing, f"printf '%s\\n' {show}"])],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=True,
    )

    assert answer.stdout.splitlines() == [*backend.values(), str(clone.passphrase), "yes", str(clone.project)]


def test_an_update_that_fails_opens_no_tunnels(clone: Clone) -> None:
    clone.tool("pulumi", NO_STACK, "'up '*) exit 1 ;;")

    assert clone.run("up").returncode != 0
    assert "manta forward --stack dev" not in clone.calls


def test_down_stops_only_a_minikube_that_up_started(clone: Clone) -> None:
    clone.run("up")
    clone.run("down")
    assert "minikube stop" not in clone.calls
    clone.tool("minikube", "status) exit 1 ;;")
    clone.run("up")

    clone.run("down")

    assert clone.calls[-2:] == ["pulumi destroy --yes --stack dev", "minikube stop"]


def test_clean_works_in_a_fresh_clone(clone: Clone) -> None:
    result = clone.run("clean")

    assert result.returncode == 0, result.stderr
    assert str(clone.passphrase) not in result.stdout


def test_make_clean_runs_the_script() -> None:
    answer = subprocess.run(
        ["make", "-n", "clean"], cwd=PROJECT, env={"PATH": os.defpath}, capture_output=True, text=True, check=True
    )

    assert shlex.split(answer.stdout) == ["scripts/clean"]
