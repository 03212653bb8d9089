"""How every command ends: its exit code, and its errors on stderr without a traceback."""

import sys
from collections.abc import Callable

import typer

from app.errors import MantaError

EXIT_FAILED = 1
"""Exit code of a command that failed. A wrong command line exits with 2."""

EXIT_INTERRUPTED = 130
"""Exit code after Ctrl-C, by the convention of shells: 128 + SIGINT."""


def single_command_app(command: Callable[..., None]) -> typer.Typer:
    """Build a command-line program that has one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def run_command(app: typer.Typer) -> None:
    """Run a command-line program and exit the process when it fails."""
    try:
        app()
    except MantaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's error
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
