"""Runs `manta` commands and the local platform in a folder, as a user does."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.cli.endpoints import Endpoints
from app.cli.ports import free_ports
from app.cli.state import STATE_FOLDER
from tests.support.waiting import wait_until

MANTA = Path(sys.executable).parent / "manta"
READY_LINE = "Ctrl-C ends the platform."
START_TIMEOUT_S = 900.0
"""Time for the start of a platform and for a command, on a machine that is busy with other tests."""

STOP_TIMEOUT_S = 60.0
LOG_END_CHARACTERS = 3000


def clean_environment() -> dict[str, str]:
    """The environment of this process without the variables that configure manta, MLflow or Ray."""
    return {name: value for name, value in os.environ.items() if not re.match(r"MANTA_|MLFLOW_|RAY_", name)}


@dataclass(frozen=True)
class LocalFolder:
    """A folder in which a test runs `manta` commands and the local platform."""

    folder: Path

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints of the platform that was last started in this folder."""
        return Endpoints.read(self.folder / STATE_FOLDER)

    def run(self, *argv: str, stdin: str = "", timeout_s: float = START_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """Run a `manta` command in the folder."""
        return subprocess.run(
            [MANTA, *argv],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=timeout_s,
            check=False,
        )

    @contextmanager
    def run_platform(self, *argv: str) -> Iterator["RunningPlatform"]:
        """Start `manta local`, wait until it is ready, and stop it with Ctrl-C at the end."""
        ray, mlflow, serve = free_ports(3)
        ports = ["--ray-port", str(ray), "--mlflow-port", str(mlflow), "--serve-port", str(serve)]
        log = self.folder / "local.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [MANTA, "local", *ports, *argv],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=clean_environment(),
                start_new_session=True,
            )
        platform = RunningPlatform(process, log)
        try:
            try:
                wait_until(
                    lambda: READY_LINE in platform.output or process.poll() is not None,
                    what="the platform",
                    timeout_s=START_TIMEOUT_S,
                )
                assert process.poll() is None
            except AssertionError as error:
                error.add_note(platform.describe())
                raise
            yield platform
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(timeout=STOP_TIMEOUT_S)


@dataclass(frozen=True)
class RunningPlatform:
    """A running `manta local`."""

    process: subprocess.Popen[bytes]
    log: Path
    """File with its output, in the folder in which it runs."""

    def describe(self) -> str:
        """Return its output and the end of the log of each of its parts."""
        logs = (self.log.parent / STATE_FOLDER / "logs").glob("*.log")
        ends = [f"== {log.name}\n{log.read_text(errors='replace')[-LOG_END_CHARACTERS:]}" for log in sorted(logs)]
        return "\n".join([self.output, *ends])

    @property
    def output(self) -> str:
        """Everything that it has printed so far."""
        return self.log.read_text()

    def descendants(self) -> set[psutil.Process]:
        """Every running process that it started, directly or not, including its watcher."""
        return set(psutil.Process(self.process.pid).children(recursive=True))
