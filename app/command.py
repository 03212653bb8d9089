"""How every command ends: an exit code by result, and errors on stderr without a traceback."""

import sys
from collections.abc import Callable

import typer

from app.errors import MantaError

FAILED = 1
"""Exit code of a command that could not do what was asked; 2 stands for a wrong command line."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell counts it."""


def as_app(command: Callable[..., None]) -> typer.Typer:
    """A command line of one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def run_command(app: typer.Typer) -> None:
    """Run a command line and end the process."""
    try:
        app()
    except MantaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
