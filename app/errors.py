"""One class for each way a request or a command can fail, with the HTTP status that it answers with.

Each message has three parts: what was given and why it cannot be used, what is allowed, and what to do next.
`problem` makes the RFC 9457 document of the HTTP API; `str` makes the line that the command line prints.
"""

from typing import ClassVar


class MantaError(Exception):
    """The root of every failure that a user can mend.

    Args:
        detail: What was given and what is wrong with it.
        allowed: What would have been accepted; empty where the detail says it already.
        next_step: What to do about it.
        extra: Further members of the problem document, such as the row at fault.
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
        """Travel between Ray processes with every part."""
        return _rebuild, (type(self), self.detail, self.allowed, self.next_step, self.extra)

    @classmethod
    def slug(cls) -> str:
        """The last part of the problem's `type`: the title in lower case, joined by hyphens."""
        return cls.title.lower().replace(" ", "-")

    def problem(self, instance: str) -> dict[str, object]:
        """The RFC 9457 problem document of this failure.

        Args:
            instance: Path of the request that failed.
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


def _rebuild(kind: type[MantaError], detail: str, allowed: str, next_step: str, extra: dict[str, object]) -> MantaError:
    return kind(detail, allowed=allowed, next_step=next_step, **extra)


class DataError(MantaError):
    """Training data that cannot be read, or from which no classifier can be fitted."""

    status = 422
    title = "Unusable data"


class ParameterError(MantaError):
    """An option outside its range, or two that exclude each other."""

    status = 422
    title = "Unusable parameter"


class InvalidBodyError(MantaError):
    """A request body that is not JSON, or not of the documented form."""

    status = 422
    title = "Invalid request body"


class FeaturesError(MantaError):
    """Features that the served model cannot take: ragged rows, wrong width, not finite, not numbers."""

    status = 422
    title = "Unusable features"


class TooLargeError(MantaError):
    """A request body with too many rows or bytes."""

    status = 413
    title = "Request too large"


class MediaTypeError(MantaError):
    """A request body in a format that the API does not read."""

    status = 415
    title = "Unsupported media type"


class UnauthorizedError(MantaError):
    """A request without the bearer token that the endpoint asks for."""

    status = 401
    title = "Unauthorized"


class ModelNotFoundError(MantaError):
    """A registered model, version or alias that the registry does not hold."""

    status = 404
    title = "Model not found"


class ModelRefusedError(MantaError):
    """A version that exists and must not serve: wrong format, signature, library version or kind of model."""

    status = 409
    title = "Model refused"


class LoadInProgressError(MantaError):
    """A load asked for while another one is under way."""

    status = 409
    title = "Load in progress"


class NoModelError(MantaError):
    """A prediction asked for before any model was loaded."""

    status = 503
    title = "No model loaded"


class RegistryUnavailableError(MantaError):
    """MLflow does not answer, or refuses the credentials."""

    status = 502
    title = "Registry unavailable"


class PlatformError(MantaError):
    """A part of the platform that did not start, stopped, or does not answer."""

    status = 502
    title = "Platform unavailable"
