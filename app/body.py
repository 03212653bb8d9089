"""Reads the body of a request within its limit, and as one of the contract's messages."""

import json
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from app.errors import InvalidBodyError, MantaError, MediaTypeError, TooLargeError

JSON: Final = "application/json"

SHOWN: Final = 60
"""Characters of a wrong value that a message repeats."""

Message = TypeVar("Message", bound=BaseModel)


async def read(request: Request, *, max_bytes: int) -> bytes:
    """Read a JSON body, and stop where it grows beyond the limit.

    Raises:
        MediaTypeError: There is a body, and it does not say that it is JSON.
        TooLargeError: It has more than `max_bytes`.
    """
    too_large = TooLargeError(
        "The request's body is too large.", allowed=f"up to {max_bytes} bytes", next_step="Send the rows in parts."
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if body and media_type != JSON:
        raise MediaTypeError(
            f"The body's content type is {media_type or 'not given'}.",
            allowed=JSON,
            next_step=f"Send the header `Content-Type: {JSON}`.",
        )
    return bytes(body)


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
