"""`manta models`: the versions of the registered model, and what serves."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

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


def models(
    name: Annotated[
        str,
        typer.Option(metavar="NAME", help="Registered model (default: the model of the platform).", show_default=False),
    ] = "",
    stack: PlatformOption = "",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """List the versions of the registered model: gate, metric, aliases, and how many replicas serve each.

    Example: manta models
    """
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
