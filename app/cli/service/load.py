"""`manta load`: load a model version on every replica."""

import time
from typing import Annotated, Final

import typer

from app.cli import destination
from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.cli.service.client import LOAD_PATH, call
from app.cli.shared_options import PlatformOption
from app.errors import LoadInProgressError
from app.settings import settings

RETRIES: Final = 120
"""Number of times that a load is repeated while another load is in progress."""

RETRY_PAUSE_S: Final = 1.0
"""Pause before a load is repeated."""


def load(
    version: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Version of the registered model (default: the newest that passed the gate, without --no-promote and "
            "rolled back versions).",
            show_default=False,
        ),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="MLflow alias of the version, in place of --version.", show_default=False),
    ] = None,
    stack: PlatformOption = "",
) -> None:
    """Load a registered model version on all replicas and make it the champion.

    Example: manta load --version 3
    """
    selection = {key: value for key, value in (("version", version), ("alias", alias)) if value is not None}
    with destination.find(settings(), "serve", stack=stack).open("serve") as endpoints:
        response = load_with_retries(endpoints, selection)
    model = response["model_info"]
    typer.echo(f"{model['name']} version {model['version']} serves on {len(response['replicas'])} replica(s).")


def load_with_retries(endpoints: Endpoints, selection: dict[str, str], *, path: str = LOAD_PATH) -> JsonObject:
    """Send a load, and repeat it while another load is in progress.

    After a training, the service loads the new champion by itself, maybe at the same time.

    Raises:
        ApiError: The version cannot be loaded; nothing has changed.
        LoadInProgressError: Another load was in progress all the time.
        PlatformError: The service does not answer.
    """
    for attempt in range(RETRIES):
        try:
            return call(endpoints, "POST", path, body=selection)
        except LoadInProgressError as error:
            if not attempt:
                typer.echo(f"{error.detail} Waiting for it ...", err=True)
            time.sleep(RETRY_PAUSE_S)
    return call(endpoints, "POST", path, body=selection)
