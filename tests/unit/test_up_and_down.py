import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TOOLS = ("minikube", "kubectl", "pulumi", "manta")


class Clone:
    """A fresh clone on a machine whose tools only note how they are called."""

    def __init__(self, folder: Path) -> None:
        self.project, self.bin, self.calls_file = folder / "clone", folder / "bin", folder / "calls"
        shutil.copytree(PROJECT / "scripts", self.project / "scripts")
        self.bin.mkdir()
        for tool in TOOLS:
            self.tool(tool)

    def tool(self, name: str, *, refuses: str = "") -> None:
        """Write a tool; it fails when its first argument is the one that it refuses."""
        text = f'#!/bin/sh\necho {name} "$@" >> {self.calls_file}\n[ "$1" != "{refuses or "-"}" ]\n'
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.bin}{os.pathsep}{os.defpath}"
        return subprocess.run(
            [self.project / "scripts" / script],
            env={"PATH": path, "HOME": str(self.project), **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_up_starts_minikube_logs_in_and_brings_the_stack_up(clone: Clone) -> None:
    clone.tool("minikube", refuses="status")
    clone.tool("pulumi", refuses="whoami")

    done = clone.run("up")

    assert done.returncode == 0, done.stderr
    assert clone.calls == [
        "minikube status",
        "minikube start --cpus 4 --memory 8g",
        "pulumi whoami --non-interactive",
        "pulumi login --local",
        "pulumi stack select dev --create",
        "pulumi up --yes --stack dev",
        "manta forward --stack dev",
    ]


def test_up_takes_the_minikube_and_the_login_that_are_there(clone: Clone) -> None:
    clone.run("up", STACK="mine")

    assert not [call for call in clone.calls if call.startswith(("minikube start", "pulumi login"))]
    assert "pulumi up --yes --stack mine" in clone.calls


def test_up_prints_each_call_that_changes_something(clone: Clone) -> None:
    printed = clone.run("up").stdout

    asking = ("minikube status", "pulumi whoami --non-interactive")
    for call in clone.calls:
        assert call in asking or call in printed


def test_up_names_every_missing_tool_with_its_installation(clone: Clone) -> None:
    for tool in ("minikube", "pulumi"):
        (clone.bin / tool).unlink()

    done = clone.run("up")

    assert done.returncode == 1
    assert "minikube is not on PATH. Install it: brew install minikube" in done.stderr
    assert "pulumi is not on PATH. Install it: curl" in done.stderr


def test_the_passphrase_is_made_once_and_for_its_owner_alone(clone: Clone) -> None:
    clone.run("up")
    file = clone.project / ".manta" / "passphrase"
    before = file.read_text()

    clone.run("up")

    assert file.read_text() == before
    assert file.stat().st_mode & 0o077 == 0


def test_an_update_that_fails_opens_no_tunnels(clone: Clone) -> None:
    clone.tool("pulumi", refuses="up")

    assert clone.run("up").returncode != 0
    assert "manta forward --stack dev" not in clone.calls


def test_down_stops_only_a_minikube_that_up_has_started(clone: Clone) -> None:
    clone.run("up")
    clone.run("down")
    assert "minikube stop" not in clone.calls
    clone.tool("minikube", refuses="status")
    clone.run("up")

    clone.run("down")

    assert clone.calls[-2:] == ["pulumi destroy --yes --stack dev", "minikube stop"]
