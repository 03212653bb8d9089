"""Reads the body of a request within its limit, and as one of the contract's messages."""

import json
from collections.abc import Collection
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from app.errors import InvalidBodyError, MantaError, MediaTypeError, TooLargeError

JSON: Final = "application/json"

NPY: Final = "application/x-npy"
"""An array as `numpy.save` writes it."""

SHOWN: Final = 60
"""Characters of a wrong value that a message repeats."""

Message = TypeVar("Message", bound=BaseModel)


async def read(request: Request, *, max_bytes: int, kinds: Collection[str] = (JSON,)) -> tuple[bytes, str]:
    """Read a body, and stop where it grows beyond the limit.

    Args:
        request: Whose body is read.
        max_bytes: The limit.
        kinds: The content types that are taken.

    Returns:
        The body, and its content type without parameters; of an empty body whatever type the request gives.

    Raises:
        MediaTypeError: There is a body, and it does not say that it is of such a type.
        TooLargeError: It has more than `max_bytes`.
    """
    headers = dict(request.scope["headers"])
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    given = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if body and given not in kinds:
        raise MediaTypeError(
            f"The body's content type is {given or 'not given'}.",
            allowed=" or ".join(kinds),
            next_step=f"Send the header `Content-Type: {JSON}`.",
        )
    return bytes(body), given


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        "The request's body is too large.", allowed=f"up to {max_bytes} bytes", next_step="Send the rows in parts."
    )


def parse(message: type[Message], body: bytes, *, form: str) -> Message:
    """Read a body as a message of the contract.

    Args:
        message: The message's model.
        body: JSON.
        form: The message's form in a line, for the error.

    Raises:
        InvalidBodyError: It is not JSON, or not of that form.
        MantaError: Some other failure that `value_error` knows.
    """
    try:
        return message.model_validate_json(body)
    except ValidationError as error:
        raise explain(error.errors(include_url=False)[0], form=form) from error


def explain(fault: ErrorDetails, *, form: str) -> MantaError:
    """The error that says which part of a body is at fault, and why."""
    if fault["type"] == "json_invalid":
        reason = fault["msg"].removeprefix("Invalid JSON: ")
        return InvalidBodyError(f"The body is not JSON: {reason}.", allowed=form, next_step="See /docs for an example.")
    where = ".".join(map(str, fault["loc"])) or "The body"
    match fault["type"]:
        case "missing":
            what = "is missing"
        case "extra_forbidden":
            what = "is not known"
        case _:
            what = f"is {shown(fault.get('input'))}: {fault['msg'].removeprefix('Value error, ')}"
    return InvalidBodyError(f"{where} {what}.", allowed=form, next_step="See /docs for an example.")


def shown(given: object) -> str:
    """A wrong value as JSON, shortened."""
    text = json.dumps(given)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
