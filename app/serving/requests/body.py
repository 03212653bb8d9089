"""Reads a request body within its limits of size and time, and parses it as a message of `app.serving.schemas`."""

import asyncio
import json
from collections.abc import Collection
from typing import Final, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from app.errors import BodyTimeoutError, InvalidBodyError, MantaError, MediaTypeError, TooLargeError
from app.serving.requests.admission import BodyCharge
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import SMALL_BODY_BYTES
from app.serving.requests.row_errors import shortened

JSON: Final = "application/json"

NPY: Final = "application/x-npy"
"""Content type of an array in the format of `numpy.save`."""

MAX_LENGTH_DIGITS: Final = 18
"""Digits of a `Content-Length` that is compared with the limit. A longer one is too large."""

Message = TypeVar("Message", bound=BaseModel)


async def read(
    request: Request,
    *,
    max_bytes: int,
    deadlines: Deadlines,
    content_types: Collection[str] = (JSON,),
    charge: BodyCharge | None = None,
) -> tuple[bytes | bytearray, str]:
    """Read a request body, and stop as soon as it exceeds a limit.

    Args:
        request: The request.
        max_bytes: Maximum size of the body, in bytes.
        deadlines: Ends the reading if the client takes too long to send the body.
        content_types: Accepted content types.
        charge: Counts the received bytes of a body that is not small; None if `max_bytes` allows small bodies only.

    Returns:
        The body and its content type without parameters. An empty body may have any content type.

    Raises:
        MediaTypeError: The body is not empty, and its content type is not accepted.
        TooLargeError: The body exceeds `max_bytes`.
        BodyTimeoutError: The body was not complete in time.
        OverloadedError: The replica holds too many bytes of other bodies.
        ClientDisconnect: The client closed the connection.
    """
    headers = dict(request.scope["headers"])
    content_length = headers.get(b"content-length", b"")
    # Python refuses to read integers of thousands of digits.
    if content_length.isdigit() and (len(content_length) > MAX_LENGTH_DIGITS or int(content_length) > max_bytes):
        raise _too_large(max_bytes)
    content_type = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    body = await _receive_in_time(request, deadlines, max_bytes=max_bytes, charge=charge)
    if body and content_type not in content_types:
        raise MediaTypeError(
            f"The body's content type is {shortened(content_type) or 'missing'}.",
            allowed=" or ".join(filter(None, content_types)),
            next_step=f"Send the header `Content-Type: {JSON}`.",
        )
    return body, content_type


async def _receive_in_time(
    request: Request, deadlines: Deadlines, *, max_bytes: int, charge: BodyCharge | None
) -> bytes | bytearray:
    """Receive all parts of a body, or raise `BodyTimeoutError`."""
    deadlines.begin()
    try:
        return await _receive(request, max_bytes=max_bytes, charge=charge)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if not deadlines.have_passed() or task is None or task.uncancel() > 0:  # it was cancelled by somebody else
            raise
        raise BodyTimeoutError(
            "The request body was not complete in time.",
            allowed=f"{deadlines.timeout_s:g} s for the whole body",
            next_step="Send the body faster, or split the rows over several requests.",
        ) from error
    finally:
        deadlines.end()


async def _receive(request: Request, *, max_bytes: int, charge: BodyCharge | None) -> bytes | bytearray:
    """Receive all parts of a body."""
    body: bytes | bytearray = b""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part, is_last = message.get("body", b""), not message.get("more_body", False)
        size = len(body) + len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if charge is not None and size > SMALL_BODY_BYTES:
            charge.grow_to(size)
        if is_last and not body:
            return bytes(part)
        if isinstance(body, bytes):
            body = bytearray()
        body += part
        if is_last:
            return body


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(
        "The request body is too large.",
        allowed=f"up to {max_bytes} bytes",
        next_step="Split the rows over several requests.",
    )


def parse(message_class: type[Message], body: bytes | bytearray, *, form: str) -> Message:
    """Parse a small JSON body as a message.

    Args:
        message_class: Pydantic model of the message.
        body: The JSON text.
        form: One line that shows the message's form, for the error.

    Raises:
        InvalidBodyError: The body is not JSON, or does not match the message.
    """
    try:
        members = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise _invalid_message(f"The body is not JSON: {reason}.", form=form) from error
    if not isinstance(members, dict):
        raise _invalid_message(f"The body is {_text_of(members)}, not an object.", form=form)
    # Only here, because pydantic's error would list every unknown member.
    unknown = next((name for name in members if name not in message_class.model_fields), None)
    if unknown is not None:
        raise _invalid_message(f"{shortened(unknown)} is not known.", form=form)
    try:
        return message_class.model_validate(members)
    except ValidationError as error:
        [details, *_] = error.errors(include_url=False)
        location = ".".join(map(str, details["loc"])) or "The body"
        reason = details["msg"].removeprefix("Value error, ")
        raise _invalid_message(f"{location} is {_text_of(details['input'])}: {reason}.", form=form) from error


def _invalid_message(detail: str, *, form: str) -> MantaError:
    return InvalidBodyError(detail, allowed=form, next_step="See /docs for an example.")


def _text_of(value: object) -> str:
    try:
        return shortened(json.dumps(value))
    except RecursionError:
        return "nested too deeply"
