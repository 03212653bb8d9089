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


def run_program(*command: str, input_text: str | None = None, timeout_s: float = PROGRAM_TIMEOUT_S) -> str:
    """Run a program and return its output.

    Args:
        command: The program and its arguments.
        input_text: Standard input of the program.
        timeout_s: Time after which the program is stopped.

    Raises:
        ProgramError: The program is not installed, failed, or did not end in time.
    """
    if shutil.which(command[0]) is None:
        raise ProgramError(f"{command[0]} is not on PATH")
    try:
        return subprocess.run(
            command, input=input_text, capture_output=True, text=True, timeout=timeout_s, check=True
        ).stdout
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"{command[0]} ended with exit code {error.returncode}"]
        raise ProgramError(lines[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise ProgramError(f"{command[0]} did not answer in {timeout_s:g} s") from error


@dataclass(frozen=True)
class Kubectl:
    """`kubectl` with a context of the kubeconfig."""

    context: str

    def run(self, *arguments: str, input_text: str | None = None, timeout_s: float = PROGRAM_TIMEOUT_S) -> str:
        """Run a `kubectl` command and return its output. The arguments are those of `run_program`.

        Raises:
            ProgramError: `kubectl` is not installed, failed, or did not end in time.
        """
        command = ("kubectl", "--context", self.context, *arguments)
        return run_program(*command, input_text=input_text, timeout_s=timeout_s)

    def items(self, kind: str, *arguments: str) -> list[JsonObject]:
        """List the objects of a kind, as the API server returns them.

        Raises:
            ProgramError: `kubectl` is not installed, failed, or did not end in time.
        """
        items: list[JsonObject] = json.loads(self.run("get", kind, "-o", "json", *arguments))["items"]
        return items
