"""A stack on a real cluster, run with Pulumi's Automation API and a separate local state."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import yaml
from pulumi import automation

from tests.support.json_object import JsonObject
from tests.support.tools import Tools
from tests.support.waiting import wait_for

PROJECT: Final = Path(__file__).parents[2]
PASSPHRASE: Final = "of a throw-away stack"  # noqa: S105 - no stack with data uses it
UP_TIMEOUT_S: Final = 600
"""Longest time from the last action of a test until `pulumi up` returns."""
INTERRUPT_TIMEOUT_S: Final = 600
"""Longest time until an update reaches the state at which a test interrupts it."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """The result of `pulumi up`."""

    duration_s: float
    changes: dict[str, int]
    """Number of resources by operation, without those that stayed the same."""
    output: str
    """Output of Pulumi, which names each changed resource."""


class LiveStack:
    """A stack of a copy of this project, so that a test can change the code that is deployed."""

    def __init__(self, folder: Path, tools: Tools, name: str) -> None:
        self.name, self.folder = name, folder / "project"
        _copy_project(self.folder)
        for subfolder in ("state", "home"):
            (folder / subfolder).mkdir()
        self.environment = {
            "PATH": tools.path,
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }
        if shutil.which("pulumi-resource-kubernetes", path=tools.path):
            self.environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        self._config_file = self.folder / f"Pulumi.{name}.yaml"
        self._log = folder / "up.log"
        self.config: JsonObject = {}
        self._stack = automation.create_stack(
            stack_name=name,
            work_dir=str(self.folder),
            opts=automation.LocalWorkspaceOptions(env_vars=self.environment),
        )

    def configure(self, **settings: object) -> None:
        """Set configuration keys of the stack."""
        self.config |= settings
        document = yaml.safe_load(self._config_file.read_text(encoding="utf-8")) if self._config_file.exists() else {}
        config = document.get("config", {})
        secrets = {key: value for key, value in config.items() if isinstance(value, dict) and "secure" in value}
        document["config"] = {f"manta:{key}": value for key, value in self.config.items()} | secrets
        self._config_file.write_text(yaml.safe_dump(document), encoding="utf-8")

    def configure_secrets(self, **secrets: str) -> None:
        """Set configuration keys of the stack, encrypted."""
        self._stack.set_all_config(
            {f"manta:{key}": automation.ConfigValue(value, secret=True) for key, value in secrets.items()}
        )

    def up(self) -> Update:
        """Run `pulumi up`.

        Raises:
            pulumi.automation.CommandError: `pulumi up` failed; the message has its output.
        """
        start_s = time.monotonic()
        # No `on_event`, because the events repeat KubeRay's CRDs, 4 MB each time, and Pulumi waits for their reader.
        result = self._stack.up(color="never", suppress_progress=True)
        counts = result.summary.resource_changes or {}
        changes = {str(operation): count for operation, count in counts.items() if operation != "same"}
        return Update(duration_s=time.monotonic() - start_s, changes=changes, output=result.stdout)

    def start_up(self) -> "subprocess.Popen[bytes]":
        """Start `pulumi up` as a process that a test can interrupt."""
        command = ["pulumi", "up", "--yes", "--skip-preview", "--stack", self.name, "--non-interactive"]
        with self._log.open("w") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env={**os.environ, **self.environment}, stdout=log, stderr=log
            )

    @contextlib.contextmanager
    def running_up(self) -> Iterator[None]:
        """Run `pulumi up` while the block runs, and wait for its end afterwards. If the block fails, kill it."""
        update = self.start_up()
        try:
            yield
            assert update.wait(UP_TIMEOUT_S) == 0, self._log.read_text()
        finally:
            _kill_with_children(update)

    def interrupt(self, update: "subprocess.Popen[bytes]", *, at: str, when: Callable[[], object]) -> None:
        """Kill `pulumi up` when a condition holds, and remove the lock of its state.

        The processes that it started are killed too, because not all of them notice its end. If the condition does not
        hold in time, the update is killed as well.

        Args:
            update: The process from `start_up`.
            at: Name of the condition, for the error.
            when: The condition.
        """

        def is_reached() -> object:
            assert update.poll() is None, f"pulumi up ended by itself:\n{self._log.read_text()}"
            return when()

        try:
            wait_for(at, is_reached, timeout_s=INTERRUPT_TIMEOUT_S)
        finally:
            _kill_with_children(update)
        self._stack.cancel()

    def destroy(self) -> float:
        """Run `pulumi destroy`, also after an interrupted update, and return its duration in seconds."""
        start_s = time.monotonic()
        self._stack.cancel()
        self._stack.destroy(color="never", suppress_progress=True)
        return time.monotonic() - start_s

    def outputs(self) -> JsonObject:
        """Return the outputs of the stack, secrets in plain text."""
        return {key: output.value for key, output in self._stack.outputs().items()}

    def destroy_command(self) -> str:
        """Return the command that destroys this stack by hand."""
        variables = " ".join(f"{key}={value!r}" for key, value in self.environment.items() if key != "PATH")
        return f"cd {self.folder} && {variables} pulumi destroy --yes --stack {self.name}"


def _kill_with_children(update: "subprocess.Popen[bytes]") -> None:
    """Kill an update and every process that it started."""
    children = psutil.Process(update.pid).children(recursive=True) if update.poll() is None else []
    update.kill()
    update.wait()
    for process in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _copy_project(target: Path) -> None:
    """Copy the files that git would commit, and link the virtual environment of the tests."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    (target / ".venv").symlink_to(sys.prefix)
