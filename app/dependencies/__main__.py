"""`python -m app.dependencies`: checks the services that Ray depends on, and exits with 1 if one is wrong."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from app.command import EXIT_FAILED, run_command, single_command_app
from app.dependencies import checks
from app.dependencies.result import Status
from app.settings import DependencySettings


def check_dependencies(
    patience_s: Annotated[
        float, typer.Option("--patience", min=0, help="Seconds in which a check is repeated that may pass later.")
    ] = checks.PATIENCE_S,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,  # noqa: FBT002 - a flag
) -> None:
    """Check DNS, the API server, Redis and MLflow as Ray's pods reach them."""
    results = sorted(
        checks.run(DependencySettings(), patience_s=patience_s), key=lambda result: result.status is Status.WRONG
    )
    if as_json:
        typer.echo(json.dumps([asdict(result) for result in results]))
    else:
        for result in results:
            typer.echo(str(result))
    if any(result.status is Status.WRONG for result in results):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    run_command(single_command_app(check_dependencies))
