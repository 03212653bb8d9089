"""`manta shadow`: let a version answer copies of requests, and see how its answers differ from the champion's."""

import json
from typing import Annotated

import typer
from rich.table import Table

from app.cli import destination
from app.cli.json_object import JsonObject
from app.cli.progress import console
from app.cli.service.client import call, model_path
from app.cli.shared_options import JsonOption, NameOption, PlatformOption
from app.errors import ParameterError
from app.settings import settings

SHOWN_ROWS = 5
"""Rows that the command prints. --json prints all."""


def shadow(
    version: Annotated[
        str,
        typer.Argument(
            metavar="[VERSION]",
            help="Version that answers the copies (default: show the running shadow).",
            show_default=False,
        ),
    ] = "",
    share: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Part of the requests that is copied (default: 100).", show_default=False),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the shadow.")] = False,  # noqa: FBT002 - a flag
    name: NameOption = "",
    stack: PlatformOption = "",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Let a version answer copies of requests. No client gets its answers.

    Its answers are compared with those of the champion. The figures are in the MLflow run of the version.

    Example: manta shadow 7 --share 20
    """
    if end and version:
        raise ParameterError("VERSION and --end exclude each other.", next_step="End the shadow first, then begin one.")
    if share is not None and not version:
        raise ParameterError("--share needs a version.", next_step="Name it: manta shadow VERSION --share PERCENT.")
    method = "POST" if version else "DELETE" if end else "GET"
    message = {"version": version} | ({} if share is None else {"share": share}) if version else None
    with destination.find(settings(), "serve", stack=stack).open("serve") as endpoints:
        content = call(endpoints, method, model_path(name, "shadow"), body=message)
    if as_json:
        typer.echo(json.dumps(content))
    else:
        _print(content, is_ended=end)


def _print(content: JsonObject, *, is_ended: bool) -> None:
    """Print a shadow."""
    state, figures = content["shadow"], content["figures"]
    if state is None:
        typer.echo("There is no shadow.")
        return
    if is_ended:
        typer.echo(f"version {state['version']} is no longer the shadow.")
    else:
        copies = f"answers copies of {state['share']:g} % of the requests"
        typer.echo(f"version {state['version']} {copies}, {content['replicas_ready']} replicas hold it.")
    if figures is None:
        typer.echo("It has answered no request yet.")
    else:
        console.print(_table(state["version"], figures))
        if figures["confusion"]:
            console.print(_confusion(state["version"], figures))
    for row in content["rows"][:SHOWN_ROWS]:
        typer.echo(f"differs by {row['difference']:.3g}: {row['champion']} → {row['shadow']} for {row['row']}")
    if content["trouble"]:
        typer.echo(f"warning: {content['trouble']}", err=True)


def _table(version: str, figures: JsonObject) -> Table:
    """Compare the two versions."""
    table = Table("", f"champion {figures['champion']}", f"shadow {version}")
    table.add_row("requests, rows", "", f"{figures['requests']}, {figures['rows']}")
    error = f" ({figures['last_error']})" if figures["last_error"] else ""
    table.add_row("errors", "", f"{figures['errors']}{error}")
    table.add_row("dropped", "", str(figures["dropped"]))
    if figures["agreement"] is not None:
        table.add_row("same class", "", f"{figures['agreement']:.2%}")
    if figures["difference"] is not None:
        values = ", ".join(f"{name} {value:.3g}" for name, value in figures["difference"].items())
        table.add_row("difference", "", values)
    for key in ("p50_ms", "p95_ms", "p99_ms"):
        sides = (figures["champion_latency"][key], figures["latency"][key])
        table.add_row(key.replace("_", " in "), *("" if value is None else f"{value:g}" for value in sides))
    return table


def _confusion(version: str, figures: JsonObject) -> Table:
    """Show how often each class of the champion is each class of the shadow."""
    table = Table(f"champion {figures['champion']} / shadow {version}", *figures["labels"])
    for label, counts in zip(figures["labels"], figures["confusion"], strict=True):
        table.add_row(label, *(str(count) for count in counts))
    return table
