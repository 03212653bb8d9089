"""Runs the programs that a command needs, such as `kubectl`."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from app.cli.json_object import JsonObject

PROGRAM_TIMEOUT_S: Final = 20
"""Timeout of one program, such as a `kubectl` request to the cluster."""


class ProgramError(Exception):
    """A program is not installed, failed, or did not end in time. The message is the last line of its stderr."""


def run_program(*command: str) -> str:
    """Run a program and return its output.

    Raises:
        ProgramError: The program is not installed, failed, or did not end in time.
    """
    if shutil.which(command[0]) is None:
        raise ProgramError(f"{command[0]} is not on PATH")
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=True).stdout
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"{command[0]} ended with exit code {error.returncode}"]
        raise ProgramError(lines[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{command[0]} did not answer in {PROGRAM_TIMEOUT_S} s") from error


@dataclass(frozen=True)
class Kubectl:
    """`kubectl` with a context of the kubeconfig."""

    context: str

    def run(self, *arguments: str) -> str:
        """Run a `kubectl` command and return its output.

        Raises:
            ProgramError: `kubectl` is not installed, failed, or did not end in time.
        """
        return run_program("kubectl", "--context", self.context, *arguments)

    def items(self, kind: str, *arguments: str) -> list[JsonObject]:
        """List the objects of a kind, as the API server returns them.

        Raises:
            ProgramError: `kubectl` is not installed, failed, or did not end in time.
        """
        items: list[JsonObject] = json.loads(self.run("get", kind, "-o", "json", *arguments))["items"]
        return items
