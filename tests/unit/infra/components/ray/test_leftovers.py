"""What a destroy runs to take down the Ray objects that the stack does not know of."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.program import Program, kubeconfig

COMMAND = "command:local:Command"
KUBECTL = """#!/bin/sh
echo "$KUBECONFIG" > "$SEEN/file"
cat "$KUBECONFIG" > "$SEEN/content" 2>/dev/null
echo "$@" > "$SEEN/arguments"
exit $CODE
"""


def destroy(program: Program, folder: Path, code: int = 0, /, **changes: object) -> "subprocess.CompletedProcess[str]":
    """Run the command of a stack with a kubectl that notes what it was asked."""
    inputs = program.deploy("prod", **changes).one(COMMAND, "leftovers-delete").inputs
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o700)
    machine = {"PATH": f"{folder}:{os.environ['PATH']}", "SEEN": str(folder), "CODE": str(code), "KUBECONFIG": "own"}
    return subprocess.run(
        ["/bin/sh", "-c", inputs["delete"]],
        env=machine | inputs["environment"],
        check=False,
        capture_output=True,
        text=True,
    )


def test_every_kind_with_a_finalizer_is_deleted_in_the_namespace_alone(program: Program, tmp_path: Path) -> None:
    done = destroy(program, tmp_path, namespace="team-a")

    arguments = (tmp_path / "arguments").read_text()
    assert done.returncode == 0
    assert arguments.startswith("--context manta-prod --namespace team-a delete ")
    assert {"rayservices.ray.io", "rayjobs.ray.io", "rayclusters.ray.io"} == set(arguments.split()[5].split(","))
    assert (tmp_path / "file").read_text() == "own\n"


def test_a_supplied_kubeconfig_is_used_and_removed(program: Program, tmp_path: Path) -> None:
    text = kubeconfig({"manta-prod": "https://prod.example.com"})

    destroy(program, tmp_path, kubeconfig=text)

    used = (tmp_path / "file").read_text().strip()
    assert (tmp_path / "content").read_text().strip() == text.strip()
    assert used != "own"
    assert not Path(used).exists()


@pytest.mark.parametrize("code", [1, 127])
def test_a_failure_says_what_to_do_and_lets_the_destroy_go_on(program: Program, tmp_path: Path, code: int) -> None:
    done = destroy(program, tmp_path, code)

    assert done.returncode == 0
    assert "destroy again" in done.stdout
