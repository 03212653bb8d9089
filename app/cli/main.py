"""The `manta` command and its subcommands."""

from importlib.metadata import version
from typing import Annotated

import typer

from app.cli.jobs import register, reproduce, train
from app.cli.local.command import local
from app.cli.project.command import init
from app.cli.service.drift import drift
from app.cli.service.evaluate import evaluate
from app.cli.service.feedback import feedback
from app.cli.service.load import load
from app.cli.service.models import models
from app.cli.service.predict import predict
from app.cli.service.rollback import rollback
from app.cli.service.rollout import rollout
from app.cli.service.serve import serve
from app.cli.service.shadow import shadow
from app.cli.service.status import status
from app.cli.stack import dev, forward
from app.cli.stack.backup.command import backup, restore
from app.cli.stack.doctor.command import doctor
from app.command import run_command

cli = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(is_requested: bool) -> None:  # noqa: FBT001 - Typer passes the option's value by position
    if is_requested:
        typer.echo(f"manta {version('manta')}")
        raise typer.Exit


@cli.callback()
def manta(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train, register and serve scikit-learn models on Ray, on this machine or on a Kubernetes cluster."""


cli.command(rich_help_panel="This machine")(local)
cli.command(rich_help_panel="Training")(init)
cli.command(rich_help_panel="Training")(train.command())
cli.command(rich_help_panel="Training")(reproduce.reproduce)
cli.command(rich_help_panel="Training")(register.register)
cli.command(rich_help_panel="Serving")(load)
cli.command(rich_help_panel="Serving")(predict)
cli.command(rich_help_panel="Serving")(feedback)
cli.command(rich_help_panel="Serving")(drift)
cli.command(rich_help_panel="Serving")(evaluate)
cli.command(rich_help_panel="Serving")(serve)
cli.command(rich_help_panel="Serving")(status)
cli.command(rich_help_panel="Serving")(models)
cli.command(rich_help_panel="Serving")(rollback)
cli.add_typer(rollout, name="rollout", rich_help_panel="Serving")
cli.command(rich_help_panel="Serving")(shadow)
cli.command(rich_help_panel="Pulumi stack")(forward.forward)
cli.command(rich_help_panel="Pulumi stack")(doctor)
cli.command(rich_help_panel="Pulumi stack")(dev.dev)
cli.command(rich_help_panel="Pulumi stack")(backup)
cli.command(rich_help_panel="Pulumi stack")(restore)


def main() -> None:
    """Run the command line and end the process."""
    run_command(cli)
