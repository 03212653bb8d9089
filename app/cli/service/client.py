"""Client of the application's HTTP API."""

import json
from typing import Final

import httpx

from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.errors import LoadInProgressError, MantaError, PlatformError

API_TIMEOUT_S: Final = 120.0
"""Timeout of a request. Loading a large model takes long."""


class ApiError(MantaError):
    """The application answered with an error."""

    title = "Refused by the application"


def call(endpoints: Endpoints, method: str, path: str, *, body: object = None) -> JsonObject:
    """Send a request to the application's HTTP API.

    Args:
        endpoints: Address and token of the service.
        method: HTTP method.
        path: Path below the route prefix.
        body: Body of the request, sent as JSON; None for no body.

    Returns:
        The JSON document of the response.

    Raises:
        ApiError: The application answered with an error.
        LoadInProgressError: Another load is in progress. The request may be repeated.
        PlatformError: Nothing answers at the address, or the response is not JSON.
    """
    url = endpoints.api_url + path
    try:
        response = httpx.request(method, url, json=body, headers=endpoints.serve_headers, timeout=API_TIMEOUT_S)
        document: JsonObject = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
        raise PlatformError(
            f"The service at {url} does not answer, or its answer is not JSON: {error}.",
            next_step="Start the platform with `manta local`, or name another service with MANTA_SERVE_URL.",
        ) from error
    if response.is_error:
        is_busy = str(document.get("type", "")).endswith(f":{LoadInProgressError.slug()}")
        error_class = LoadInProgressError if is_busy else ApiError
        raise error_class(
            str(document.get("detail", document)),
            allowed=document.get("allowed", ""),
            next_step=document.get("next_step", ""),
        )
    return document
