"""Reads a request body within its size limit, and parses it as a message of `app.serving.schemas`."""

import json
from collections.abc import Collection
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from app.errors import InvalidBodyError, MantaError, MediaTypeError, TooLargeError

JSON: Final = "application/json"

NPY: Final = "application/x-npy"
"""Content type of an array in the format of `numpy.save`."""

MAX_SHOWN_CHARACTERS: Final = 60
"""Characters of an invalid value that an error message repeats."""

Message = TypeVar("Message", bound=BaseModel)


async def read(request: Request, *, max_bytes: int, content_types: Collection[str] = (JSON,)) -> tuple[bytes, str]:
    """Read a request body, and stop as soon as it exceeds the limit.

    Args:
        request: The request.
        max_bytes: Maximum size of the body, in bytes.
        content_types: Accepted content types.

    Returns:
        The body and its content type without parameters. An empty body may have any content type.

    Raises:
        MediaTypeError: The body is not empty, and its content type is not accepted.
        TooLargeError: The body exceeds `max_bytes`.
    """
    headers = dict(request.scope["headers"])
    content_length = headers.get(b"content-length", b"")
    if content_length.isdigit() and int(content_length) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    content_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if body and content_type not in content_types:
        raise MediaTypeError(
            f"The body's content type is {content_type or 'missing'}.",
            allowed=" or ".join(content_types),
            next_step=f"Send the header `Content-Type: {JSON}`.",
        )
    return bytes(body), content_type


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        "The request body is too large.",
        allowed=f"up to {max_bytes} bytes",
        next_step="Split the rows over several requests.",
    )


def parse(message_class: type[Message], body: bytes, *, form: str) -> Message:
    """Parse a JSON body as a message.

    Args:
        message_class: Pydantic model of the message.
        body: The JSON text.
        form: One line that shows the message's form, for the error.

    Raises:
        InvalidBodyError: The body is not JSON, or does not match the message.
    """
    try:
        return message_class.model_validate_json(body)
    except ValidationError as error:
        raise invalid_body(error.errors(include_url=False)[0], form=form) from error


def invalid_body(details: ErrorDetails, *, form: str) -> MantaError:
    """Build the error that names the invalid part of a body and the reason.

    Args:
        details: Pydantic's description of the first error.
        form: One line that shows the valid form.
    """
    if details["type"] == "json_invalid":
        reason = details["msg"].removeprefix("Invalid JSON: ")
        return InvalidBodyError(f"The body is not JSON: {reason}.", allowed=form, next_step="See /docs for an example.")
    location = ".".join(map(str, details["loc"])) or "The body"
    match details["type"]:
        case "missing":
            problem = "is missing"
        case "extra_forbidden":
            problem = "is not known"
        case _:
            problem = f"is {shortened(details.get('input'))}: {details['msg'].removeprefix('Value error, ')}"
    return InvalidBodyError(f"{location} {problem}.", allowed=form, next_step="See /docs for an example.")


def shortened(value: object) -> str:
    """Format a value as JSON, cut to `MAX_SHOWN_CHARACTERS`."""
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "..."
