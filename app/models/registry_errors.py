"""Converts the exceptions of MLflow's client into errors of this project, which name the cause and the next step."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mlflow.exceptions import MlflowException
from requests import RequestException

from app.errors import MantaError, ModelNotFoundError, PlatformError, RegistryUnavailableError

NOT_FOUND_CODES: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"})
"""MLflow's error codes for an unknown name, version or alias. The last one stands for a malformed name or version."""

REFUSAL_CODES: Final = NOT_FOUND_CODES | {
    "BAD_REQUEST",
    "INVALID_STATE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_CONFLICT",
}
"""MLflow's error codes for a request that is refused because of its content."""

DISK_FULL_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a full disk and of an exceeded quota."""

MESSAGE_CHARS: Final = 300
"""Length at which a message of MLflow is cut."""


@contextmanager
def of_lookup(uri: str, not_found: str, *, next_step: str = "") -> Iterator[None]:
    """Convert the exceptions of a block that looks up or changes one thing in MLflow.

    Args:
        uri: URL of MLflow.
        not_found: Message if MLflow answers that something does not exist.
        next_step: Next step of that message.

    Raises:
        ModelNotFoundError: MLflow answers that something does not exist.
        RegistryUnavailableError: MLflow or its artifact store does not answer, or a downloaded file cannot be written.
    """
    try:
        yield
    except MlflowException as error:
        if error.error_code in NOT_FOUND_CODES:
            raise ModelNotFoundError(not_found, next_step=next_step) from error
        raise _unavailable(uri, _first_line(error)) from error
    except OSError as error:
        raise _convert_os_error(uri, error, RegistryUnavailableError) from error


@contextmanager
def of_run(uri: str) -> Iterator[None]:
    """Convert the exceptions of a block that trains and logs in an MLflow run.

    Args:
        uri: URL of MLflow.

    Raises:
        RegistryUnavailableError: MLflow or its artifact store does not answer.
        PlatformError: MLflow refuses what the block logs, or a file operation failed.
    """
    try:
        yield
    except MlflowException as error:
        if error.error_code not in REFUSAL_CODES:
            raise _unavailable(uri, _first_line(error)) from error
        raise PlatformError(
            f"MLflow at {uri} refused what the run logs: {_first_line(error)}",
            next_step="Correct the value that the message names. If it names none, look at the run in MLflow's page.",
        ) from error
    except OSError as error:
        raise _convert_os_error(uri, error, PlatformError) from error


def _convert_os_error(uri: str, error: OSError, file_error_class: type[MantaError]) -> MantaError:
    """Distinguish a failed connection to MLflow or its artifact store from a failed file operation."""
    if isinstance(error, RequestException | ConnectionError | TimeoutError | socket.gaierror):
        return _unavailable(uri, str(error) or type(error).__name__)
    if error.errno in DISK_FULL_CODES:
        return file_error_class(
            f"The disk of {socket.gethostname()} is full: {error}.",
            next_step="Free space on this disk, or raise the limit of the pod's ephemeral storage, and repeat.",
        )
    return file_error_class(
        f"A file operation failed on {socket.gethostname()}: {error}.",
        next_step="Check that the path exists and that the process may use it.",
    )


def _unavailable(uri: str, reason: str) -> RegistryUnavailableError:
    return RegistryUnavailableError(
        f"MLflow at {uri} failed to answer: {reason}",
        next_step="Check that MLflow runs, and check MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD.",
    )


def _first_line(error: MlflowException) -> str:
    return (str(error).splitlines() or [error.error_code])[0][:MESSAGE_CHARS]
