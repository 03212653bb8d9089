"""`manta rollback`: serve the previous champion again."""

from typing import Annotated

import typer

from app import names
from app.cli import destination
from app.cli.endpoints import Endpoints
from app.cli.service.client import call
from app.cli.service.load import load_with_retries
from app.cli.service.registered_model import previous_champion, read_versions
from app.cli.shared_options import PlatformOption
from app.errors import ModelNotFoundError
from app.settings import settings


def rollback(
    to: Annotated[
        str,
        typer.Option(
            metavar="VERSION",
            help="Version to go back to (default: the champion before this one that passed its gate).",
            show_default=False,
        ),
    ] = "",
    stack: PlatformOption = "",
) -> None:
    """Serve the previous champion again, on all replicas. No request fails.

    `manta models` lists the versions.

    Example: manta rollback
    """
    parts: tuple[destination.Part, ...] = ("serve",) if to else ("serve", "mlflow")
    platform = destination.find(settings(), *parts, stack=stack)
    with platform.open(*parts) as endpoints:
        served = call(endpoints, "GET", "/model")["model_info"]
        version = to or _previous_version(endpoints, endpoints.model_name or settings().model_name)
        response = load_with_retries(endpoints, {"version": version})
    model = response["model_info"]
    typer.echo(
        f"{model['name']}: version {served['version'] if served else 'none'} → version {model['version']} "
        f"on {len(response['replicas'])} replica(s)."
    )


def _previous_version(endpoints: Endpoints, name: str) -> str:
    version = previous_champion(read_versions(endpoints, name))
    if version is None:
        raise ModelNotFoundError(
            f"No earlier version of {name!r} was the {names.CHAMPION}, passed its gate and was not rolled back.",
            next_step="Choose a version with `manta models`, and name it: manta rollback --to VERSION.",
        )
    return str(version.number)
