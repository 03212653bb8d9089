"""What the end-to-end suite needs from the machine, where it looks for it, and what is missing."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("pulumi", "pulumi-language-python", "kubectl", "ray", "curl", "git")
"""Programs that must be on PATH; with a Pulumi that may download its plugins, those need not be."""
BUILDERS: Final = {"minikube": ("minikube",), "docker": ("docker",)}
"""Programs of the image builders; `MANTA_E2E_CONFIG` names another builder."""
ASKING_TIMEOUT_S: Final = 20
"""The longest that a question to the cluster may take."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The suite's configuration, from environment variables that begin with `MANTA_E2E_`."""

    folder: Path
    """`MANTA_E2E_TOOLS`: a folder whose `bin` is searched before PATH, and whose `charts` hold local charts."""
    charts: dict[str, str]
    """Values of `kuberayChart` and `mlflowChart`: `MANTA_E2E_KUBERAY_CHART`, `MANTA_E2E_MLFLOW_CHART`."""
    settings: dict[str, object]
    """`MANTA_E2E_CONFIG`: further keys of the stack, as a JSON object."""
    resize: dict[str, object]
    """`MANTA_E2E_RESIZE`: the change of size to try, as a JSON object; more `cpus` where nothing is said."""

    @property
    def path(self) -> str:
        """PATH of every program that is started: the environment of these tests, the folder, the machine."""
        own = str(Path(sys.prefix) / "bin")
        return os.pathsep.join([own, str(self.folder / "bin"), os.environ.get("PATH", os.defpath)])

    def missing(self) -> list[str]:
        """Every part that is needed and is not there."""
        builder = BUILDERS.get(str(self.settings.get("imageBuilder", "minikube")), ())
        wanted = (*PROGRAMS, *builder)
        absent = [f"{name} on PATH" for name in wanted if shutil.which(name, path=self.path) is None]
        if not absent and not self.context():
            absent.append("a context in the kubeconfig whose cluster answers")
        return absent

    def context(self) -> str:
        """Current context, if its cluster answers; else empty."""
        try:
            self.kubectl("version", "--request-timeout=5s")
            return self.kubectl("config", "current-context").strip()
        except (OSError, subprocess.SubprocessError):
            return ""

    def kubectl(self, *arguments: str, timeout_s: float = ASKING_TIMEOUT_S) -> str:
        """Run kubectl and give back what it printed."""
        program = shutil.which("kubectl", path=self.path) or "kubectl"
        answer = subprocess.run([program, *arguments], check=True, capture_output=True, text=True, timeout=timeout_s)
        return answer.stdout


def find() -> Tools:
    """Read the suite's configuration from the environment."""
    folder = Path(os.environ.get("MANTA_E2E_TOOLS", "~/.cache/manta-tools")).expanduser()
    charts = {}
    for key, variable, name in (
        ("kuberayChart", "MANTA_E2E_KUBERAY_CHART", "kuberay-operator"),
        ("mlflowChart", "MANTA_E2E_MLFLOW_CHART", "mlflow"),
    ):
        local = folder / "charts" / name
        if given := os.environ.get(variable, str(local) if local.is_dir() else ""):
            charts[key] = given
    return Tools(
        folder=folder,
        charts=charts,
        settings=json.loads(os.environ.get("MANTA_E2E_CONFIG", "{}")),
        resize=json.loads(os.environ.get("MANTA_E2E_RESIZE", "{}")),
    )
