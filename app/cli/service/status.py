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
    """Show whether Ray, MLflow and the service are up, which version is loaded, and what each version has answered.

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
        _print_measures(parts["serve"].get("measures", []))
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
    return {
        "url": endpoints.api_url,
        "is_up": True,
        "detail": detail + _further_models(endpoints),
        "measures": _measures(endpoints),
    }


def _measures(endpoints: Endpoints) -> list[JsonObject]:
    """Return the measures of the default model by version and role; empty for a service of an older release."""
    try:
        measures: list[JsonObject] = call(endpoints, "GET", "/model/measures")["measures"]
    except (ApiError, PlatformError):
        return []
    return measures


def _print_measures(measures: list[JsonObject]) -> None:
    """Print what each version of the default model has answered since the replicas started."""
    if not measures:
        return
    table = Table("version", "role", "requests", "rows", "client errors", "errors", "p50 ms", "p95 ms", "answers")
    for one in measures:
        answers = one["answers"] or one["answer_quantiles"] or {}
        table.add_row(
            *(str(one[key]) for key in ("version", "role", "requests", "rows", "client_errors", "errors")),
            *("" if one[key] is None else f"{one[key]:g}" for key in ("p50_ms", "p95_ms")),
            ", ".join(f"{name}: {count:g}" for name, count in answers.items()),
        )
    console.print(table)


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
