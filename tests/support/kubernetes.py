"""A real Kubernetes API for the e2e tier: found, or started, and asked through kubectl."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HARNESS = Path(__file__).parents[3] / "shared" / "cluster" / "cluster"
START_TIMEOUT_S = 1500
"""The programs of the test cluster are compiled the first time."""
CALL_TIMEOUT_S = 240


@dataclass(frozen=True)
class Api:
    """The API server of one kubeconfig."""

    environment: dict[str, str]

    def run(self, *command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm and give back what it said."""
        return subprocess.run(
            command,
            input=given,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=CALL_TIMEOUT_S,
            check=False,
        )

    def has(self, program: str) -> bool:
        return shutil.which(program, path=self.environment["PATH"]) is not None

    def apply(self, objects: Iterable[dict[str, Any]]) -> None:
        """Really apply objects.

        Raises:
            AssertionError: The API server refused one.
        """
        done = self._apply(objects)
        assert done.returncode == 0, done.stderr

    def judge(self, objects: Iterable[dict[str, Any]]) -> list[str]:
        """Let validation and admission judge objects, and give back every refusal and warning."""
        done = self._apply(objects, "--dry-run=server", "--validate=strict")
        said = [line for line in done.stderr.splitlines() if line.strip()]
        return said or ([] if done.returncode == 0 else [f"exit code {done.returncode}"])

    def _apply(self, objects: Iterable[dict[str, Any]], *options: str) -> subprocess.CompletedProcess[str]:
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.run(
            *("kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager=manta-e2e"),
            *(*options, "-f", "-"),
            given=manifest,
        )


def find() -> Api:
    """Take the cluster of MANTA_E2E_KUBECONFIG or KUBECONFIG, else start the one beside the project."""
    named = os.environ.get("MANTA_E2E_KUBECONFIG") or os.environ.get("KUBECONFIG")
    environment = dict(os.environ) | ({"KUBECONFIG": named} if named else _started())
    api = Api(environment)
    if not api.has("kubectl"):
        pytest.skip("kubectl is not on PATH")
    reached = api.run("kubectl", "version", "--request-timeout=20s")
    if reached.returncode != 0:
        pytest.fail(f"the cluster of {environment['KUBECONFIG']} does not answer: {reached.stderr}")
    return api


def _started() -> dict[str, str]:
    if not HARNESS.is_file():
        pytest.skip("no cluster: set MANTA_E2E_KUBECONFIG or KUBECONFIG to the kubeconfig of one")
    sys.stderr.write(f"\nstarting the test cluster (at most {START_TIMEOUT_S} s)\n")
    subprocess.run([HARNESS, "up"], stdout=sys.stderr, timeout=START_TIMEOUT_S, check=True)
    script = f'eval "$("{HARNESS}" env)" && printf "%s\\n%s" "$KUBECONFIG" "$PATH"'
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    kubeconfig, path = told.stdout.splitlines()
    return {"KUBECONFIG": kubeconfig, "PATH": path}
