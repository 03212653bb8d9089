"""What `manta doctor` finds: one line for each check, and the next step where something is wrong.

`preflight.py` looks at the machine and the cluster before `pulumi up`, `health.py` at the parts after it.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

KUBECTL_TIMEOUT_S: Final = 20
"""The longest that one question to the cluster may take."""


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    UNSURE = "unsure"
    """It cannot be told from here."""
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    status: Status
    detail: str
    next_step: str = ""

    def __str__(self) -> str:
        step = f"\n{'':9}next: {self.next_step}" if self.next_step else ""
        return f"{self.status.value:8} {self.check}: {self.detail}{step}"


class AskError(Exception):
    """A program did not answer; the message is its last line."""


def is_found(condition: bool, check: str, detail: str, next_step: str) -> Finding:  # noqa: FBT001 - it is the result
    """A finding that is right or wrong; the next step is told only where it is wrong."""
    return Finding(check, Status.OK if condition else Status.WRONG, detail, "" if condition else next_step)


def ask(*command: str) -> str:
    """Run a program and give back what it printed.

    Raises:
        AskError: It is not there, failed, or did not end in time.
    """
    if shutil.which(command[0]) is None:
        raise AskError(f"{command[0]} is not on PATH")
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=KUBECTL_TIMEOUT_S, check=True).stdout
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"{command[0]} ended with {error.returncode}"]
        raise AskError(lines[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise AskError(f"{command[0]} did not answer in {KUBECTL_TIMEOUT_S} s") from error


@dataclass(frozen=True)
class Kubectl:
    """The cluster of one context, asked through kubectl."""

    context: str

    def run(self, *arguments: str) -> str:
        """Run kubectl in the context.

        Raises:
            AskError: kubectl or the cluster did not answer.
        """
        return ask("kubectl", "--context", self.context, *arguments)

    def items(self, kinds: str, *arguments: str) -> list[dict[str, Any]]:
        """Objects of some kinds.

        Raises:
            AskError: kubectl or the cluster did not answer.
        """
        found: list[dict[str, Any]] = json.loads(self.run("get", kinds, "-o", "json", *arguments))["items"]
        return found
