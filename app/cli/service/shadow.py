"""`manta shadow`: let a version answer copies of requests, and see how its answers differ from the champion's."""

import json
from typing import Annotated

import typer

from app.cli import destination
from app.cli.json_object import JsonObject
from app.cli.service import replay, shadow_tables
from app.cli.service.client import call, model_path
from app.cli.shared_options import JsonOption, LogOption, NameOption, PlatformOption
from app.errors import ParameterError
from app.settings import settings


def shadow(
    version: Annotated[
        str,
        typer.Argument(
            metavar="[VERSION]",
            help="Version that answers the copies, or the logged requests (default: show the running shadow).",
            show_default=False,
        ),
    ] = "",
    share: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Part of the requests that is copied (default: 100).", show_default=False),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the shadow.")] = False,  # noqa: FBT002 - a flag
    from_log: Annotated[
        str,
        typer.Option(
            "--from-log",
            metavar="PERIOD",
            help="Answer the requests of the prediction log instead: minutes, hours or days. No replica loads the "
            "version.",
            show_default=False,
        ),
    ] = "",
    log: LogOption = "",
    name: NameOption = "",
    stack: PlatformOption = "",
    as_json: JsonOption = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Let a version answer copies of requests. No client gets its answers.

    Its answers are compared with those of the champion; with --from-log, with what was answered then.
    The figures are in the MLflow run of the version.

    Example: manta shadow 7 --share 20
    """
    if from_log:
        _check_replay(version, is_live_option=end or share is not None)
        replay.replay(version, from_log, name=name, log=log, stack=stack, as_json=as_json)
        return
    if log:
        raise ParameterError(
            "--log needs --from-log.", next_step="Name the period: manta shadow VERSION --from-log 7d --log PLACE."
        )
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


def _check_replay(version: str, *, is_live_option: bool) -> None:
    """Check the options beside `--from-log`.

    Raises:
        ParameterError: The version is missing, or an option is about a running shadow.
    """
    if not version:
        raise ParameterError(
            "--from-log needs a version.", next_step="Name it: manta shadow VERSION --from-log PERIOD."
        )
    if is_live_option:
        raise ParameterError(
            "--from-log excludes --share and --end.",
            next_step="Drop them: a replay answers all logged requests, and ends by itself.",
        )


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
        champion, shadow_title = f"champion {figures['champion']}", f"shadow {state['version']}"
        shadow_tables.print_figures(figures, champion=champion, version=shadow_title)
    shadow_tables.print_rows(content["rows"])
    if content["trouble"]:
        typer.echo(f"warning: {content['trouble']}", err=True)
