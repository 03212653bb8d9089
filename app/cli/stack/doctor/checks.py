"""Results of the checks of `manta doctor`.

`preflight.py` checks the machine and the cluster before `pulumi up`. `health.py` checks the parts of a running stack.
"""

from dataclasses import dataclass
from enum import StrEnum


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


def pass_or_fail(check: str, detail: str, next_step: str, *, has_passed: bool) -> CheckResult:
    """Result of a check that can decide. Only a failed check has a next step."""
    return CheckResult(check, Status.OK, detail) if has_passed else CheckResult(check, Status.WRONG, detail, next_step)
