"""The result of a check, and the errors by which a check ends."""

import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.errors import cause

CONNECT_TIMEOUT_S: Final = 5.0
"""Longest wait for a connection, and for one answer of Redis."""


class Status(StrEnum):
    """Outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    """Ray works, but something may be lost later."""
    WRONG = "wrong"


@dataclass(frozen=True, kw_only=True)
class Result:
    """Result of one check. The fields are the keys of `--json`."""

    check: str
    status: Status
    detail: str
    next_step: str = ""

    def __str__(self) -> str:
        next_step = f" {self.next_step}" if self.next_step else ""
        return f"{self.status}: {self.check}: {self.detail}{next_step}"


class CheckFailedError(Exception):
    """A dependency does not answer as Ray needs it.

    Args:
        detail: What is wrong.
        next_step: What the user can do.
        is_transient: Whether the check may pass a moment later, such as when a network policy takes effect.
    """

    def __init__(self, detail: str, *, next_step: str, is_transient: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.next_step = next_step
        self.is_transient = is_transient


def resolve(host: str, *, key: str) -> None:
    """Resolve a name.

    Args:
        host: The name.
        key: Key of the stack that holds the name; empty for a name of the cluster.

    Raises:
        CheckFailedError: No DNS server knows the name, or none answers.
    """
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        correct_key = f"Correct `{key}`, or allow" if key else "Allow"
        raise CheckFailedError(
            f"The name {host} cannot be resolved in a pod: {cause(error)}.",
            next_step=f"{correct_key} the pods to reach DNS: pulumi config set --path 'dnsCidrs[0]' ADDRESS/32",
            is_transient=True,
        ) from error


def connect(host: str, port: int, *, next_step: str) -> None:
    """Open and close a connection.

    Raises:
        CheckFailedError: Nothing answers at the address.
    """
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise CheckFailedError(
            f"Nothing answers at {host}:{port}: {cause(error)}.", next_step=next_step, is_transient=True
        ) from error


def caused_by(error: BaseException, kind: type[ssl.SSLError]) -> ssl.SSLError | None:
    """Find an error of TLS among the causes of an error."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, kind):
            return current
        current = current.__cause__ or current.__context__
    return None
