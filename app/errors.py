"""Errors of requests and commands: one class for each kind of failure, with its HTTP status.

Each error has three parts: which value cannot be used and why, what is allowed, and what to do next.
`MantaError.problem` builds the RFC 9457 document of the HTTP API. `str` gives the line that the command line prints.
"""

from typing import ClassVar


class MantaError(Exception):
    """Base class of every failure that a user can correct.

    Args:
        detail: Which value cannot be used, and why.
        allowed: What is accepted; empty if the detail already says it.
        next_step: What the user can do next.
        extra: Additional members of the problem document, such as the index of the invalid row.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something failed"

    def __init__(self, detail: str, *, allowed: str = "", next_step: str = "", **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.allowed = allowed
        self.next_step = next_step
        self.extra = extra

    def __str__(self) -> str:
        allowed = f"Allowed: {self.allowed}." if self.allowed else ""
        return " ".join(part for part in (self.detail, allowed, self.next_step) if part)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle every part, because errors travel between Ray processes."""
        return _rebuild, (type(self), self.detail, self.allowed, self.next_step, self.extra)

    @classmethod
    def slug(cls) -> str:
        """Return the last part of the problem's `type`: the title in lower case, joined by hyphens."""
        return cls.title.lower().replace(" ", "-")

    def problem(self, instance: str) -> dict[str, object]:
        """Build the RFC 9457 problem document of this error.

        Args:
            instance: Path of the failed request.
        """
        members: dict[str, object] = {
            "type": f"urn:manta:problem:{self.slug()}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.allowed:
            members["allowed"] = self.allowed
        if self.next_step:
            members["next_step"] = self.next_step
        return members | self.extra


def cause(error: Exception) -> str:
    """Message of a library's error for the end of a sentence: without a full stop; the error's class if empty."""
    return str(error).rstrip(".") or type(error).__name__


def first_line(error: Exception) -> str:
    """First line of a library's error, 500 characters at most; the type of an error without a message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


def _rebuild(
    error_class: type[MantaError], detail: str, allowed: str, next_step: str, extra: dict[str, object]
) -> MantaError:
    return error_class(detail, allowed=allowed, next_step=next_step, **extra)


class DataError(MantaError):
    """Training data cannot be read, or no classifier can be fitted to it."""

    status = 422
    title = "Unusable data"


class ParameterError(MantaError):
    """An option is out of range, or two options exclude each other."""

    status = 422
    title = "Unusable parameter"


class InvalidBodyError(MantaError):
    """A request body is not valid JSON or npy, or does not match the schema."""

    status = 422
    title = "Invalid request body"


class FeaturesError(MantaError):
    """The model does not accept the rows: wrong columns, wrong length, or values that are not finite numbers."""

    status = 422
    title = "Unusable features"


class TooLargeError(MantaError):
    """A request body has too many rows or bytes."""

    status = 413
    title = "Request too large"


class BodyTimeoutError(MantaError):
    """A request body was not complete in time."""

    status = 408
    title = "Request timeout"


class MediaTypeError(MantaError):
    """The content type of a request body is not supported."""

    status = 415
    title = "Unsupported media type"


class UnauthorizedError(MantaError):
    """A request lacks the bearer token that the endpoint requires."""

    status = 401
    title = "Unauthorized"


class ModelNotFoundError(MantaError):
    """The registry has no such registered model, version, alias or run."""

    status = 404
    title = "Model not found"


class ModelRefusedError(MantaError):
    """A model version exists but cannot serve: wrong format, signature, library version or estimator type."""

    status = 409
    title = "Model refused"


class LoadInProgressError(MantaError):
    """Another load is in progress."""

    status = 409
    title = "Load in progress"


class AliasMovedError(MantaError):
    """The alias `champion` was moved while a load was in progress."""

    status = 409
    title = "Alias moved"


class LogOffError(MantaError):
    """Labels or a report need the prediction log, and the service keeps none."""

    status = 409
    title = "Prediction log is off"


class RolloutError(MantaError):
    """A rollout cannot begin, or there is none to end."""

    status = 409
    title = "Rollout not possible"


class NoModelError(MantaError):
    """A prediction was requested before any model version was loaded."""

    status = 503
    title = "No model loaded"


class ModelLoadingError(MantaError):
    """A model is being loaded. The header `Retry-After` says when to send the request again."""

    status = 503
    title = "Model is loading"


class OverloadedError(MantaError):
    """A replica holds as many requests as it can. The header `Retry-After` says when to send the request again."""

    status = 503
    title = "Overloaded"


class RegistryUnavailableError(MantaError):
    """MLflow does not answer, or rejects the credentials."""

    status = 502
    title = "Registry unavailable"


class PlatformError(MantaError):
    """A component of the platform did not start, has stopped, or does not answer."""

    status = 502
    title = "Platform unavailable"
