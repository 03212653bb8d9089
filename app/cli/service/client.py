"""Client of the application's HTTP API."""

import json
from typing import Final
from urllib.parse import quote

import httpx

from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.errors import LoadInProgressError, MantaError, PlatformError, cause

API_TIMEOUT_S: Final = 120.0
"""Timeout of every request except a load."""

LOAD_PATH: Final = "/model/load"
"""Path of a load of the default model."""

LOADS: Final = ("/load", "/rollout", "/rollout/promote", "/shadow")
"""Ends of the paths that load a version. A stack sets the limit of a load, so the client waits for the answer without a
limit of its own."""

CHECK_STATUS: Final = "The service may still process the request. Look at the version that it serves: `manta status`."
"""Next step for a request that has no usable answer."""


class ApiError(MantaError):
    """The application answered with an error."""

    title = "Refused by the application"


def model_path(name: str, resource: str) -> str:
    """Return the path of a resource of a model.

    Args:
        name: Registered model; empty for the default model.
        resource: End of the path, such as `rollout`.
    """
    return f"/models/{quote(name, safe='')}/{resource}" if name else f"/model/{resource}"


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
        PlatformError: Nothing answers at the address, the answer does not come, or it is not JSON.
    """
    url = endpoints.api_url + path
    timeout = httpx.Timeout(API_TIMEOUT_S, read=None if path.endswith(LOADS) and method == "POST" else API_TIMEOUT_S)
    try:
        response = httpx.request(method, url, json=body, headers=endpoints.serve_headers, timeout=timeout)
        document: JsonObject = response.json()
    except (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError) as error:
        raise PlatformError(
            f"The service at {url} accepted the request, but gave no answer: {cause(error)}.",
            next_step=CHECK_STATUS,
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PlatformError(
            f"The service at {url} does not answer: {cause(error)}.",
            next_step="Start the platform with `manta local` or `pulumi up`, or name another one with --stack or "
            "MANTA_SERVE_URL.",
        ) from error
    except json.JSONDecodeError as error:
        raise PlatformError(
            f"The answer of {url} has status {response.status_code} and is not JSON.",
            next_step="Check that MANTA_SERVE_URL is the address of the service. If a proxy in between gave up: "
            f"{CHECK_STATUS}",
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
