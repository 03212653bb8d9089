"""The `manta` command: which subcommands there are."""

import typer

from app.cli.jobs import reproduce, train
from app.cli.local.command import local
from app.cli.service import commands
from app.cli.stack import dev, forward
from app.cli.stack.doctor.command import doctor
from app.command import run_command

cli = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train, register and serve scikit-learn models on Ray.",
)
cli.command()(local)
cli.command()(train.command())
cli.command()(reproduce.reproduce)
cli.command()(commands.load)
cli.command()(commands.predict)
cli.command()(commands.status)
cli.command()(forward.forward)
cli.command()(doctor)
cli.command()(dev.dev)


def main() -> None:
    """Run the command line and end the process."""
    run_command(cli)
