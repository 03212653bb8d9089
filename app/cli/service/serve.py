"""`manta serve`: let the service serve a registered model beside its default model, or stop that."""

from typing import Annotated
from urllib.parse import quote

import typer

from app.cli import destination
from app.cli.service.client import call
from app.cli.service.load import load_with_retries
from app.cli.shared_options import PlatformOption
from app.errors import ParameterError
from app.settings import settings


def serve(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Registered model in MLflow.", show_default=False)],
    version: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER",
            help="Version to serve, which becomes the model's champion (default: as `manta load`).",
            show_default=False,
        ),
    ] = None,
    *,
    stop: Annotated[bool, typer.Option("--stop", help="Stop to serve the model. Its versions stay in MLflow.")] = False,
    stack: PlatformOption = "",
) -> None:
    """Serve a registered model under its name, beside the default model, on all replicas.

    The model is loaded at once, gets the tag manta.serve in MLflow, and follows its own champion from then on.
    `manta models --served` lists the models.

    Example: manta serve churn
    """
    if stop and version is not None:
        raise ParameterError("--stop and --version exclude each other.", next_step="Leave one of them out.")
    path = f"/models/{quote(name, safe='')}"
    with destination.find(settings(), "serve", stack=stack).open("serve") as endpoints:
        if stop:
            call(endpoints, "DELETE", path)
            typer.echo(f"{name} is not served any more.")
            return
        response = load_with_retries(endpoints, {} if version is None else {"version": version}, path=f"{path}/load")
    number = response["model_info"]["version"]
    typer.echo(f"{name} version {number} serves on {len(response['replicas'])} replica(s).")
