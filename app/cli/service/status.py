"""`manta status`: whether the parts of a platform answer."""

import json

import httpx
import typer
from rich.table import Table

from app.cli import destination
from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.cli.progress import console
from app.cli.service.client import ApiError, call
from app.cli.shared_options import JsonOption, PlatformOption
from app.errors import PlatformError
from app.settings import settings

TIMEOUT_S = 5.0
"""Timeout after which a part counts as down."""


def status(
    stack: PlatformOption = "",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show whether Ray, MLflow and the service are up, and which version is loaded.

    The exit code is 1 if a part is down.

    Example: manta status --json
    """
    with destination.find(settings(), *destination.PARTS, stack=stack).open(*destination.PARTS) as endpoints:
        parts = {
            "ray": _part_status(endpoints.ray_url, "/api/version", headers=endpoints.ray_headers),
            "mlflow": _part_status(endpoints.mlflow_url, "/version", auth=endpoints.mlflow_auth),
            "serve": _service_status(endpoints),
        }
    if as_json:
        typer.echo(json.dumps(parts))
    else:
        table = Table("part", "address", "state", "detail")
        for name, part in parts.items():
            table.add_row(name, part["url"], "up" if part["is_up"] else "down", part["detail"])
        console.print(table)
    if not all(part["is_up"] for part in parts.values()):
        raise typer.Exit(1)


def _part_status(
    url: str, path: str, *, headers: dict[str, str] | None = None, auth: tuple[str, str] | None = None
) -> JsonObject:
    """Ask Ray or MLflow for its version."""
    try:
        response = httpx.get(url + path, headers=headers, auth=auth, timeout=TIMEOUT_S)
        response.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return {"url": url, "is_up": False, "detail": str(error)}
    version = response.json()["ray_version"] if response.text.startswith("{") else response.text
    return {"url": url, "is_up": True, "detail": version}


def _service_status(endpoints: Endpoints) -> JsonObject:
    try:
        response = call(endpoints, "GET", "/model")
    except (ApiError, PlatformError) as error:
        return {"url": endpoints.api_url, "is_up": False, "detail": str(error)}
    detail = f"version {response['model_info']['version']}" if response["model_loaded"] else "no model loaded"
    return {"url": endpoints.api_url, "is_up": True, "detail": detail + _further_models(endpoints)}


def _further_models(endpoints: Endpoints) -> str:
    """Say how many models the service serves beside its default model; empty if none."""
    try:
        models = call(endpoints, "GET", "/models")["models"][1:]
    except (ApiError, PlatformError):  # a service of an older release has no list
        return ""
    if not models:
        return ""
    loaded = sum(model["state"] == "loaded" for model in models)
    refused = sum(model["refused"] is not None for model in models)
    return f"; {len(models)} further models, {loaded} loaded" + (f", {refused} refused" if refused else "")
