"""The `manta` command: which subcommands there are."""

import typer

from app.cli import dev, doctor, forward, local, models, reproduce, train
from app.cli.errors import run_command

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, register and serve scikit-learn models on Ray.",
)
cli.command()(local.local)
cli.command()(train.command())
cli.command()(reproduce.reproduce)
cli.command()(models.load)
cli.command()(models.predict)
cli.command()(models.status)
cli.command()(forward.forward)
cli.command()(doctor.doctor)
cli.command()(dev.dev)


def main() -> None:
    """Run the command line and end the process."""
    run_command(cli)
