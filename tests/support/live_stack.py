"""One stack on a real cluster, driven by Pulumi's Automation API with a state of its own."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import yaml
from pulumi import automation

from tests.support.tools import Tools
from tests.support.waiting import wait_for

PROJECT: Final = Path(__file__).parents[2]
PASSPHRASE: Final = "of a throw-away stack"  # noqa: S105
MOMENT_S: Final = 600
"""The longest until an update has come to where it is to be broken off."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """What an update did."""

    duration_s: float
    changes: dict[str, int]
    """Resources by what happened to them; what stayed the same is not told."""
    printed: str
    """What Pulumi said, which names each changed resource."""


class LiveStack:
    """A stack of a copy of this project, so that a test can change the code that is rolled out."""

    def __init__(self, folder: Path, tools: Tools, name: str) -> None:
        self.name, self.folder = name, folder / "project"
        _copy(self.folder)
        for part in ("state", "home"):
            (folder / part).mkdir()
        self.environment = {
            "PATH": tools.path,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }
        if shutil.which("pulumi-resource-kubernetes", path=tools.path):
            self.environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        self._file = self.folder / f"Pulumi.{name}.yaml"
        self._log = folder / "up.log"
        self.config: dict[str, Any] = {}
        self._stack = automation.create_stack(
            stack_name=name,
            work_dir=str(self.folder),
            opts=automation.LocalWorkspaceOptions(env_vars=self.environment),
        )

    def configure(self, **settings: object) -> None:
        """Set keys of the stack's configuration."""
        self.config |= settings
        document = yaml.safe_load(self._file.read_text(encoding="utf-8")) if self._file.exists() else {}
        document["config"] = {f"manta:{key}": value for key, value in self.config.items()}
        self._file.write_text(yaml.safe_dump(document), encoding="utf-8")

    def up(self) -> Update:
        """Run `pulumi up`.

        Raises:
            pulumi.automation.CommandError: It failed; the message holds its output.
        """
        started = time.monotonic()
        # Without `on_event`: the events repeat KubeRay's CRDs, 4 MB each time, and Pulumi waits for their reader.
        result = self._stack.up(color="never", suppress_progress=True)
        counted = result.summary.resource_changes or {}
        changes = {str(kind): count for kind, count in counted.items() if kind != "same"}
        return Update(duration_s=time.monotonic() - started, changes=changes, printed=result.stdout)

    def start_up(self) -> "subprocess.Popen[bytes]":
        """Start `pulumi up` as a process that a test may end."""
        command = ["pulumi", "up", "--yes", "--skip-preview", "--stack", self.name, "--non-interactive"]
        with self._log.open("w") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )

    def break_off(self, update: "subprocess.Popen[bytes]", *, at: str, when: Callable[[], object]) -> None:
        """Wait for a moment in the middle of `pulumi up`, end it there without notice, and take away its lock.

        What it had started, which does not all notice, goes after it. A moment that never comes ends it too.
        """

        def has_come() -> object:
            assert update.poll() is None, f"pulumi up ended by itself:\n{self._log.read_text()}"
            return when()

        try:
            wait_for(at, has_come, timeout_s=MOMENT_S)
        finally:
            _kill(update)
        self._stack.cancel()

    def destroy(self) -> float:
        """Run `pulumi destroy` and give back its seconds; an interrupted update before it does no harm."""
        started = time.monotonic()
        self._stack.cancel()
        self._stack.destroy(color="never", suppress_progress=True)
        return time.monotonic() - started

    def outputs(self) -> dict[str, Any]:
        """Outputs of the stack, secrets in clear."""
        return {key: output.value for key, output in self._stack.outputs().items()}

    def destroy_command(self) -> str:
        """Command that ends this stack by hand."""
        variables = " ".join(f"{key}={value!r}" for key, value in self.environment.items() if key != "PATH")
        return f"cd {self.folder} && {variables} pulumi destroy --yes --stack {self.name}"


def _kill(update: "subprocess.Popen[bytes]") -> None:
    """End an update and all that it has started."""
    started = psutil.Process(update.pid).children(recursive=True) if update.poll() is None else []
    update.kill()
    update.wait()
    for process in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _copy(target: Path) -> None:
    """Copy what git would commit, and share the environment of the interpreter that runs the tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)
