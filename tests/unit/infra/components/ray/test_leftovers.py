"""The command by which a destroy deletes Ray objects that the stack's state does not contain."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.program import Program, kubeconfig

COMMAND = "command:local:Command"
KUBECTL = """#!/bin/sh
echo "$KUBECONFIG" > "$RECORD/file"
cat "$KUBECONFIG" > "$RECORD/content" 2>/dev/null
echo "$@" > "$RECORD/arguments"
exit $CODE
"""


def destroy(program: Program, folder: Path, code: int = 0, /, **changes: object) -> "subprocess.CompletedProcess[str]":
    """Run the command of a stack with a kubectl that records its arguments and its kubeconfig."""
    inputs = program.deploy("prod", **changes).resource(COMMAND, "leftovers-delete").inputs
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o700)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "RECORD": str(folder),
        "CODE": str(code),
        "KUBECONFIG": "default",
    }
    return subprocess.run(
        ["/bin/sh", "-c", inputs["delete"]],
        env=environment | inputs["environment"],
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_command_deletes_every_kind_with_a_finalizer_in_the_stacks_namespace_only(
    program: Program, tmp_path: Path
) -> None:
    result = destroy(program, tmp_path, namespace="team-a")

    arguments = (tmp_path / "arguments").read_text()
    assert result.returncode == 0
    assert arguments.startswith("--context manta-prod --namespace team-a delete ")
    assert {"rayservices.ray.io", "rayjobs.ray.io", "rayclusters.ray.io"} == set(arguments.split()[5].split(","))
    assert (tmp_path / "file").read_text() == "default\n"


def test_a_supplied_kubeconfig_is_used_and_deleted_afterwards(program: Program, tmp_path: Path) -> None:
    text = kubeconfig({"manta-prod": "https://prod.example.com"})

    destroy(program, tmp_path, kubeconfig=text)

    path = (tmp_path / "file").read_text().strip()
    assert (tmp_path / "content").read_text().strip() == text.strip()
    assert path != "default"
    assert not Path(path).exists()


@pytest.mark.parametrize("code", [1, 127])
def test_a_failed_delete_names_the_next_step_and_lets_the_destroy_continue(
    program: Program, tmp_path: Path, code: int
) -> None:
    result = destroy(program, tmp_path, code)

    assert result.returncode == 0
    assert "destroy again" in result.stdout
