"""Starts `manta local` as a user does, and finds out what it started."""

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

from app.cli.endpoints import Target
from app.cli.ports import free_ports
from app.cli.state import STATE
from tests.support.waiting import wait_until

MANTA = Path(sys.executable).parent / "manta"
READY_LINE = "Ctrl-C ends the platform."
READY_LIMIT_S = 240.0
END_LIMIT_S = 60.0


def clean_environment() -> dict[str, str]:
    """The environment of this process without what would point a command elsewhere."""
    return {name: value for name, value in os.environ.items() if not re.match(r"MANTA_|MLFLOW_|RAY_", name)}


@dataclass(frozen=True)
class Local:
    """A folder in which the platform of one machine is used."""

    folder: Path

    @property
    def target(self) -> Target:
        """Where the platform that was last started here answers."""
        return Target.read(self.folder / STATE)

    def run(self, *argv: str, stdin: str = "", timeout_s: float = READY_LIMIT_S) -> subprocess.CompletedProcess[str]:
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
    def started(self, *argv: str) -> Iterator["Started"]:
        """Run `manta local` until it is ready, and end it as Ctrl-C does."""
        ray, mlflow, serve = free_ports(3)
        ports = ["--ray-port", str(ray), "--mlflow-port", str(mlflow), "--serve-port", str(serve)]
        output = self.folder / "local.log"
        with output.open("w") as log:
            process = subprocess.Popen(
                [MANTA, "local", *ports, *argv],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=clean_environment(),
                start_new_session=True,
            )
        started = Started(process, output)
        try:
            wait_until(
                lambda: READY_LINE in started.output or process.poll() is not None,
                what="the platform",
                limit_s=READY_LIMIT_S,
            )
            assert process.poll() is None, started.output
            yield started
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(timeout=END_LIMIT_S)


@dataclass(frozen=True)
class Started:
    """A running `manta local`."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def descendants(self) -> set[psutil.Process]:
        """Every process that it started and that still runs, its watcher among them."""
        return set(psutil.Process(self.process.pid).children(recursive=True))
