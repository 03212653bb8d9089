"""Speaks to the application's HTTP API for the commands."""

import json
from typing import Any, Final

import httpx

from app.cli.endpoints import Target
from app.errors import LoadInProgressError, MantaError, PlatformError

API_TIMEOUT_S: Final = 120.0
"""The longest silence of the application; loading a large model takes its time."""


class ApiError(MantaError):
    """What the application answered in place of a result."""

    title = "Refused by the application"


def call(target: Target, method: str, path: str, *, message: object = None) -> dict[str, Any]:
    """Send a request to the application's HTTP API.

    Args:
        target: The platform.
        method: HTTP method.
        path: Path below the route prefix.
        message: Body, sent as JSON; None for none.

    Raises:
        ApiError: It answered with a problem document.
        LoadInProgressError: It is busy with a load, and this one may be tried again.
        PlatformError: Nothing answers there, or something else does.
    """
    url = target.api_url + path
    try:
        answer = httpx.request(method, url, json=message, headers=target.serve_headers, timeout=API_TIMEOUT_S)
        content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
        raise PlatformError(
            f"{url} does not answer as the application does: {error}.",
            next_step="Start the platform with `manta local`, or name another with MANTA_SERVE_URL.",
        ) from error
    if answer.is_error:
        detail = str(content.get("detail", content))
        is_busy = str(content.get("type", "")).endswith(f":{LoadInProgressError.slug()}")
        raise (LoadInProgressError if is_busy else ApiError)(
            detail, allowed=content.get("allowed", ""), next_step=content.get("next_step", "")
        )
    return content
