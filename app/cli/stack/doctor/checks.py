"""Results of the checks of `manta doctor`, and the programs that the checks run.

`preflight.py` checks the machine and the cluster before `pulumi up`. `health.py` checks the parts of a running stack.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.cli.json_object import JsonObject

PROGRAM_TIMEOUT_S: Final = 20
"""Timeout of one program, such as a `kubectl` request to the cluster."""


class Status(StrEnum):
    """Outcome of a check."""

    OK = "ok"
    UNSURE = "unsure"
    """The check cannot decide."""
    WRONG = "wrong"


@dataclass(frozen=True)
class CheckResult:
    """Result of one check. The fields are the keys of `manta doctor --json`."""

    check: str
    """Name of the check."""
    status: Status
    detail: str
    next_step: str = ""

    def __str__(self) -> str:
        step = f"\n{'':9}next: {self.next_step}" if self.next_step else ""
        return f"{self.status.value:8} {self.check}: {self.detail}{step}"


class ProgramError(Exception):
    """A program is not installed, failed, or did not end in time. The message is the last line of its stderr."""


def pass_or_fail(check: str, detail: str, next_step: str, *, has_passed: bool) -> CheckResult:
    """Result of a check that can decide. Only a failed check has a next step."""
    return CheckResult(check, Status.OK, detail) if has_passed else CheckResult(check, Status.WRONG, detail, next_step)


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
