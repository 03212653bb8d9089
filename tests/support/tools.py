"""The programs, charts and settings of the end-to-end tests, and what is missing on this machine."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = ("pulumi", "pulumi-language-python", "kubectl", "ray", "curl", "git")
"""Programs that must be on PATH. Pulumi downloads its plugins if it may."""
BUILDERS: Final = {"minikube": ("minikube",), "docker": ("docker",)}
"""Programs that each image builder needs. `MANTA_E2E_CONFIG` can set another builder."""
KUBECTL_TIMEOUT_S: Final = 20
"""Time limit of a kubectl command."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The configuration of the end-to-end tests, from environment variables that begin with `MANTA_E2E_`."""

    folder: Path
    """`MANTA_E2E_TOOLS`: a folder whose `bin` is searched before PATH, and whose `charts` has local charts."""
    charts: dict[str, str]
    """The keys `kuberayChart` and `mlflowChart`, from `MANTA_E2E_KUBERAY_CHART` and `MANTA_E2E_MLFLOW_CHART`."""
    settings: dict[str, object]
    """`MANTA_E2E_CONFIG`: additional configuration keys of the stack, as a JSON object."""
    resize: dict[str, object]
    """`MANTA_E2E_RESIZE`: the keys that the resize test changes, as a JSON object; empty for one more of `cpus`."""
    site: dict[str, Any]
    """`MANTA_E2E_SITE`, a JSON object: `postgresImage`; `cut` and `heal`, commands that take the network of a node away
    and give it back; `monitoringValues`, values of kube-prometheus-stack; and `traefikImage` and `gatewayCrds`."""

    @property
    def monitoring_chart(self) -> dict[str, str]:
        """The key `monitoringChart`, if `folder` has the chart kube-prometheus-stack."""
        chart = self.folder / "charts" / "kube-prometheus-stack"
        return {"monitoringChart": str(chart)} if chart.is_dir() else {}

    @property
    def path(self) -> str:
        """PATH for every program: the virtual environment of the tests, then `folder`, then PATH."""
        virtual_environment = str(Path(sys.prefix) / "bin")
        return os.pathsep.join([virtual_environment, str(self.folder / "bin"), os.environ.get("PATH", os.defpath)])

    def missing(self) -> list[str]:
        """Return everything that the tests need and that this machine does not have."""
        builder = BUILDERS.get(str(self.settings.get("imageBuilder", "minikube")), ())
        programs = (*PROGRAMS, *builder)
        missing = [f"{name} on PATH" for name in programs if shutil.which(name, path=self.path) is None]
        if not missing and not self.context():
            missing.append("a context in the kubeconfig whose cluster answers")
        return missing

    def context(self) -> str:
        """Return the current context if its cluster answers, else an empty string."""
        try:
            self.kubectl("version", "--request-timeout=5s")
            return self.kubectl("config", "current-context").strip()
        except (OSError, subprocess.SubprocessError):
            return ""

    def kubectl(self, *arguments: str, timeout_s: float = KUBECTL_TIMEOUT_S) -> str:
        """Run kubectl and return its output."""
        program = shutil.which("kubectl", path=self.path) or "kubectl"
        process = subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=timeout_s)
        return process.stdout


def find() -> Tools:
    """Read the configuration of the end-to-end tests from the environment."""
    folder = Path(os.environ.get("MANTA_E2E_TOOLS", "~/.cache/manta-tools")).expanduser()
    charts = {}
    for key, variable, name in (
        ("kuberayChart", "MANTA_E2E_KUBERAY_CHART", "kuberay-operator"),
        ("mlflowChart", "MANTA_E2E_MLFLOW_CHART", "mlflow"),
    ):
        local_chart = folder / "charts" / name
        if chart := os.environ.get(variable, str(local_chart) if local_chart.is_dir() else ""):
            charts[key] = chart
    return Tools(
        folder=folder,
        charts=charts,
        settings=json.loads(os.environ.get("MANTA_E2E_CONFIG", "{}")),
        resize=json.loads(os.environ.get("MANTA_E2E_RESIZE", "{}")),
        site=json.loads(os.environ.get("MANTA_E2E_SITE", "{}")),
    )
