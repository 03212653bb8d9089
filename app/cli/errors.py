"""How every command ends: an exit code by result, and errors on stderr without a traceback."""

import sys
from collections.abc import Callable

import typer

from app.errors import MantaError

FAILED = 1
"""Exit code of a command that could not do what was asked; 2 stands for a wrong command line."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell counts it."""


def run_command(command: Callable[..., None] | typer.Typer) -> None:
    """Run a command line and end the process."""
    if isinstance(command, typer.Typer):
        app = command
    else:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command()(command)
    try:
        app()
    except MantaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
