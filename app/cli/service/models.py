"""`manta models`: the versions of the registered model, and what serves."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.table import Table

from app.cli import destination
from app.cli.endpoints import Endpoints
from app.cli.progress import console
from app.cli.service.client import ApiError, call
from app.cli.service.registered_model import Version, read_versions
from app.cli.shared_options import JsonOption, PlatformOption
from app.errors import PlatformError
from app.settings import settings

MIB: Final = 2**20


def models(
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="Registered model (default: the model of the platform).", show_default=False),
    ] = "",
    *,
    served: Annotated[
        bool, typer.Option("--served", help="List the models that the service serves, in place of versions.")
    ] = False,
    stack: PlatformOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the versions of the registered model: gate, metric, aliases, and how many replicas serve each.

    With --served: every model of the service, with its champion, memory and requests.

    Example: manta models
    """
    if served:
        _print_served(stack, as_json=as_json)
        return
    platform = destination.find(settings(), "mlflow", "serve", stack=stack)
    model_name = name or platform.endpoints.model_name or settings().model_name
    with platform.open("mlflow", "serve") as endpoints:
        versions = read_versions(endpoints, model_name)
        replicas = _replicas_by_version(endpoints, model_name)
    if as_json:
        documents = [asdict(version) | {"replicas": replicas[str(version.number)]} for version in versions]
        typer.echo(json.dumps({"name": model_name, "versions": documents}, default=str))
    else:
        _print_table(model_name, versions, replicas)


def _print_served(stack: str, *, as_json: bool) -> None:
    """Print the models that the service serves."""
    with destination.find(settings(), "serve", stack=stack).open("serve") as endpoints:
        content = call(endpoints, "GET", "/models")
    if as_json:
        typer.echo(json.dumps(content))
        return
    limit = f"{content['memory_limit_bytes'] / MIB:,.1f} MiB of each replica for models beside the default model"
    columns = ("model", "state", "version", "champion", "replicas", "MiB", "requests", "last used", "refused")
    table = Table(*columns, caption=limit, caption_justify="left")
    for model in content["models"]:
        table.add_row(
            f"{model['name']} (default)" if model["is_default"] else model["name"],
            model["state"],
            model["version"] or "",
            model["champion"] or "none",
            str(model["replicas"]),
            f"{model['size_bytes'] / MIB:,.1f}",
            str(model["requests"]),
            (model["last_used"] or "")[:19],
            model["refused"] or "",
        )
    console.print(table)
    if content["trouble"]:
        typer.echo(f"warning: {content['trouble']}", err=True)


def _print_table(name: str, versions: Sequence[Version], replicas: Counter[str]) -> None:
    table = Table("version", "created", "gate", "metric", "aliases", "serving", title=name, title_justify="left")
    for version in versions:
        count = replicas[str(version.number)]
        table.add_row(
            str(version.number),
            f"{version.created:%Y-%m-%d %H:%M}",
            version.gate,
            version.metric,
            ", ".join(version.aliases),
            f"{count} of {replicas.total()} replicas" if count else "",
        )
    console.print(table)


def _replicas_by_version(endpoints: Endpoints, name: str) -> Counter[str]:
    """Count the replicas of each version. Without an answer of the service, nothing is counted and stderr says so."""
    try:
        status = call(endpoints, "GET", "/model")
    except (ApiError, PlatformError) as error:
        typer.echo(f"warning: what serves is unknown: {error}", err=True)
        return Counter()
    if not status["model_loaded"] or status["model_info"]["name"] != name:
        return Counter()
    return Counter(str(replica["version"]) for replica in status["replicas"])
