"""A real Kubernetes API for the e2e tests, called through kubectl: that of a kubeconfig, or a test cluster."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.json_object import JsonObject

HARNESS = Path(__file__).parents[3] / "shared" / "cluster" / "cluster"
START_TIMEOUT_S = 1500
"""The first start compiles the programs of the test cluster."""
CALL_TIMEOUT_S = 240


@dataclass(frozen=True)
class Api:
    """The API server of one kubeconfig."""

    environment: dict[str, str]

    def run(self, *command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm."""
        return subprocess.run(
            command,
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=CALL_TIMEOUT_S,
            check=False,
        )

    def has(self, program: str) -> bool:
        return shutil.which(program, path=self.environment["PATH"]) is not None

    def apply(self, objects: Iterable[JsonObject]) -> None:
        """Apply objects.

        Raises:
            AssertionError: The API server refused an object.
        """
        result = self._apply(objects)
        assert result.returncode == 0, result.stderr

    def problems(self, objects: Iterable[JsonObject]) -> list[str]:
        """Validate and admit objects without storing them, and return every refusal and warning."""
        result = self._apply(objects, "--dry-run=server", "--validate=strict")
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        return lines or ([] if result.returncode == 0 else [f"exit code {result.returncode}"])

    def _apply(self, objects: Iterable[JsonObject], *options: str) -> subprocess.CompletedProcess[str]:
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.run(
            *("kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager=manta-e2e"),
            *(*options, "-f", "-"),
            stdin=manifest,
        )


def find_or_start() -> Api:
    """Return the API of MANTA_E2E_KUBECONFIG or KUBECONFIG, else start the test cluster next to the project."""
    kubeconfig = os.environ.get("MANTA_E2E_KUBECONFIG") or os.environ.get("KUBECONFIG")
    environment = dict(os.environ) | ({"KUBECONFIG": kubeconfig} if kubeconfig else _start())
    api = Api(environment)
    if not api.has("kubectl"):
        pytest.skip("kubectl is not on PATH")
    version = api.run("kubectl", "version", "--request-timeout=20s")
    if version.returncode != 0:
        pytest.fail(f"the cluster of {environment['KUBECONFIG']} does not answer: {version.stderr}")
    return api


def _start() -> dict[str, str]:
    """Start the test cluster, and return the environment variables that reach it."""
    if not HARNESS.is_file():
        pytest.skip("no cluster: set MANTA_E2E_KUBECONFIG or KUBECONFIG to the kubeconfig of a cluster")
    sys.stderr.write(f"\nstarting the test cluster (at most {START_TIMEOUT_S} s)\n")
    subprocess.run([HARNESS, "up"], stdout=sys.stderr, timeout=START_TIMEOUT_S, check=True)
    script = f'eval "$("{HARNESS}" env)" && printf "%s\\n%s" "$KUBECONFIG" "$PATH"'
    output = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout
    kubeconfig, path = output.splitlines()
    return {"KUBECONFIG": kubeconfig, "PATH": path}
