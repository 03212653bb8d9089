"""The commands by which an update applies KubeRay's CRDs, and by which a destroy deletes them."""

import json
import os
import subprocess
from pathlib import Path

from tests.support.program import CRDS, Program, kubeconfig

KUBECTL = """#!/bin/sh
printf '%s\\n' "$*" >> "$RECORD/arguments"
case "$*" in *apply*) cat "$MANTA_CRDS" > "$RECORD/crds" ;; esac
cat "$KUBECONFIG" > "$RECORD/kubeconfig" 2> /dev/null
exit $CODE
"""


def run(program: Program, folder: Path, action: str, *, code: int = 0, **changes: object) -> int:
    """Run a command of a stack with a kubectl that records its arguments, and return its exit status."""
    inputs = program.deploy("prod", **changes).resource("command:local:Command", "kuberay-operator-crds").inputs
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o700)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "RECORD": str(folder), "CODE": str(code)}
    return subprocess.run(
        ["/bin/sh", "-c", inputs[action]], env=environment | inputs["environment"], cwd=program.root, check=False
    ).returncode


def test_the_crds_are_applied_by_the_server_and_awaited(program: Program, tmp_path: Path) -> None:
    assert run(program, tmp_path, "create") == 0

    apply, wait = (tmp_path / "arguments").read_text().splitlines()
    assert "--context manta-prod" in apply
    assert "apply --server-side --force-conflicts" in apply
    assert wait.endswith(" ".join(["customresourcedefinitions", *sorted(CRDS)]))
    applied = json.loads((tmp_path / "crds").read_text())["items"]
    assert [item["metadata"]["name"] for item in applied] == sorted(CRDS)


def test_crds_that_cannot_be_applied_end_the_update(program: Program, tmp_path: Path) -> None:
    assert run(program, tmp_path, "create", code=1) == 1


def test_the_command_uses_the_kubeconfig_of_the_stack(program: Program, tmp_path: Path) -> None:
    content = kubeconfig({"manta-prod": "https://prod.example.com"})

    run(program, tmp_path, "create", kubeconfig=content)

    assert (tmp_path / "kubeconfig").read_text().strip() == content.strip()


def test_with_remove_crds_a_destroy_deletes_exactly_the_crds_of_the_chart(program: Program, tmp_path: Path) -> None:
    assert run(program, tmp_path, "delete", removeCrds=True) == 0

    (delete,) = (tmp_path / "arguments").read_text().splitlines()
    assert delete.endswith(f"delete customresourcedefinitions {' '.join(sorted(CRDS))} --ignore-not-found")
