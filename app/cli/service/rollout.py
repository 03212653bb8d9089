"""`manta rollout`: let a new version take the traffic step by step, see how it does, and end it."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from app.cli import destination
from app.cli.json_object import JsonObject
from app.cli.progress import console
from app.cli.service.client import call, model_path
from app.cli.shared_options import JsonOption, NameOption, PlatformOption
from app.errors import ParameterError
from app.settings import settings

rollout = typer.Typer(no_args_is_help=True, help="Let a new version take the traffic step by step.")


@rollout.command()
def start(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Version of the registered model.")],
    steps: Annotated[
        str,
        typer.Option(
            metavar="PERCENT,...",
            help="Shares of the requests, ascending (default: 5,10,25,50,95). All traffic follows the last step.",
            show_default=False,
        ),
    ] = "",
    min_rows: Annotated[
        int | None,
        typer.Option(help="Rows that the version answers in each step (default: 300).", show_default=False),
    ] = None,
    min_seconds: Annotated[
        float | None, typer.Option(help="Shortest duration of a step (default: 60).", show_default=False)
    ] = None,
    bake_seconds: Annotated[
        float | None,
        typer.Option(
            help="Shortest duration of the last step, before all traffic follows (default: --min-seconds).",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str,
        typer.Option(
            metavar="HEADER",
            help="Header whose value decides which version answers, such as a user's id (default: chance).",
            show_default=False,
        ),
    ] = "",
    timeout_seconds: Annotated[
        float | None,
        typer.Option(help="Time after which the champion answers instead (default: 10).", show_default=False),
    ] = None,
    max_disagreement: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="Maximum share of the rows for which the versions predict different classes. Above the maximum, no "
            "step ends by itself (default: no limit).",
            show_default=False,
        ),
    ] = None,
    hold: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            help="Compare the versions at this share for --min-seconds. Then the champion answers all requests again.",
            show_default=False,
        ),
    ] = None,
    name: NameOption = "",
    stack: PlatformOption = "",
) -> None:
    """Begin a rollout. The version goes back by itself if it fails, is slow or is wrong more often than the champion.

    Example: manta rollout start 7 --steps 5,50 --min-seconds 300
    """
    if hold is not None and steps:
        raise ParameterError("--steps and --hold exclude each other.", next_step="Name one of them.")
    options: dict[str, Any] = {  # the values have several types
        "min_rows": min_rows,
        "min_seconds": min_seconds,
        "bake_seconds": bake_seconds,
        "timeout_seconds": timeout_seconds,
        "key": key or None,
        "max_disagreement": max_disagreement,
        "steps": [hold] if hold is not None else _shares(steps),
        "hold": True if hold is not None else None,
    }
    message = {"version": version} | {name: value for name, value in options.items() if value is not None}
    _print(_call("POST", model_path(name, "rollout"), stack, message))


@rollout.command()
def status(
    name: NameOption = "",
    stack: PlatformOption = "",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show the running or the last rollout.

    Example: manta rollout status
    """
    content = _call("GET", model_path(name, "rollout"), stack)
    if as_json:
        typer.echo(json.dumps(content))
    else:
        _print(content)


@rollout.command()
def promote(name: NameOption = "", stack: PlatformOption = "") -> None:
    """Let the version of the rollout take all traffic at once.

    Example: manta rollout promote
    """
    _print(_call("POST", model_path(name, "rollout/promote"), stack))


@rollout.command()
def abort(name: NameOption = "", stack: PlatformOption = "") -> None:
    """End the rollout. The champion answers all requests again.

    Example: manta rollout abort
    """
    _print(_call("DELETE", model_path(name, "rollout"), stack))


def _call(method: str, path: str, stack: str, message: JsonObject | None = None) -> JsonObject:
    with destination.find(settings(), "serve", stack=stack).open("serve") as endpoints:
        return call(endpoints, method, path, body=message)


def _shares(text: str) -> list[float] | None:
    """Read the shares of --steps.

    Raises:
        ParameterError: One is no number.
    """
    try:
        return [float(part) for part in text.split(",")] if text else None
    except ValueError:
        raise ParameterError(f"--steps is {text!r}.", allowed="percentages joined by commas, such as 5,10,50") from None


def _print(content: JsonObject) -> None:
    """Print a rollout."""
    state = content["rollout"]
    if state is None:
        typer.echo("There was no rollout yet.")
        return
    title = f"version {state['version']} against champion {state['champion']}"
    if state["verdict"] is not None:
        typer.echo(f"{title}: {state['verdict']}. {state['reason']}")
        return
    typer.echo(f"{title}: {content['share']:g} % of the requests, {content['replicas_ready']} replicas hold both.")
    table = Table("step", "version", "requests", "rows", "errors", "slow", "wrong")
    for figures in content["figures"]:
        numbers = (str(figures[name]) for name in ("requests", "rows", "errors", "slow", "wrong"))
        table.add_row(f"{figures['share']:g} %", figures["version"], *numbers)
    console.print(table)
    evidence = ", ".join(f"{name} {value:.3g}" for name, value in content["e_values"].items())
    typer.echo(
        f"evidence against version {state['version']}: {evidence} (it goes back at a mean of {content['limit']:g})"
    )
    if content["disagreement"] is not None:
        typer.echo(
            f"disagreement: {content['disagreement']:g} % of {content['compared_rows']:,} rows "
            f"(a step ends by itself at {state['policy']['max_disagreement']:g} % or less)"
        )
    if content["trouble"]:
        typer.echo(f"warning: {content['trouble']}", err=True)
