"""A fresh clone of this project on a machine whose tools only record their calls."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
TOOLS: Final = ("minikube", "kubectl", "pulumi", "manta")
FAKE_TOOL: Final = """#!/bin/sh
echo {name} "$@" >> {calls}
case "$*" in
{answers}
esac
"""
"""Script of a fake tool: it records its call, and runs the case that matches its arguments."""
NO_STACK: Final = "*'stack export'*) echo 'error: no stack named dev found' >&2; exit 255 ;;"
LOCAL_STACK: Final = """*'stack export'*) echo '{"secrets_providers": {"type": "passphrase"}}' ;;"""
CLOUD_STACK: Final = """*'stack export'*) echo '{"secrets_providers": {"type": "service"}}' ;;"""


class Clone:
    """A fresh clone and an empty home folder, on a machine whose tools only record their calls."""

    def __init__(self, folder: Path) -> None:
        self.project, self.home, self.bin = folder / "clone", folder / "home", folder / "bin"
        self.calls_file = folder / "calls"
        self.passphrase = self.home / ".config" / "manta" / "passphrase"
        self.earlier_passphrase = self.project / ".manta" / "passphrase"
        shutil.copytree(PROJECT / "scripts", self.project / "scripts")
        shutil.copy(PROJECT / "Pulumi.dev.yaml", self.project)
        (self.project / ".venv" / "bin").mkdir(parents=True)
        (self.project / ".venv" / "bin" / "activate").write_text("MANTA_IS_ACTIVE=yes\n")
        self.home.mkdir()
        self.bin.mkdir()
        for tool in TOOLS:
            self.tool(tool)
        self.tool("pulumi", NO_STACK)

    def tool(self, name: str, *answers: str) -> None:
        """Write a fake tool, with the cases in which it prints or fails."""
        text = FAKE_TOOL.format(name=name, calls=self.calls_file, answers="\n".join(answers))
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.project / "scripts" / script],
            env={"PATH": f"{self.bin}{os.pathsep}{os.defpath}", "HOME": str(self.home), **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def write_earlier_passphrase(self, text: str) -> None:
        """Write the passphrase to the path that earlier versions used."""
        self.earlier_passphrase.parent.mkdir(exist_ok=True)
        self.earlier_passphrase.write_text(text)

    def settings(self, stack: str) -> Path:
        return self.project / f"Pulumi.{stack}.yaml"

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()


def exported_passphrase_file(output: str) -> str:
    """The passphrase file that a script exported for its later commands."""
    prefix = "+ export PULUMI_CONFIG_PASSPHRASE_FILE="
    lines = [line for line in output.splitlines() if line.startswith(prefix)]
    return lines[0].removeprefix(prefix) if lines else ""
