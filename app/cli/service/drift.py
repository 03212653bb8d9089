"""`manta drift`: compare the logged predictions of a version with its training data."""

import json
from typing import Annotated, Final

import typer

from app.cli.model_settings import open_settings
from app.cli.shared_options import JsonOption, LogOption, PlatformOption
from app.records.period import parse_period

EXIT_CODES: Final = {"no drift": 0, "drift": 3, "not enough rows": 4}
"""Exit code by verdict. A command that fails exits with 1."""


def drift(
    *,
    since: Annotated[str, typer.Option(metavar="PERIOD", help="Period to judge: minutes, hours or days.")] = "7d",
    version: Annotated[
        str, typer.Option(metavar="NUMBER", help="Version to judge (default: the champion).", show_default=False)
    ] = "",
    name: Annotated[str, typer.Option(help="Registered model (default: MANTA_MODEL_NAME).", show_default=False)] = "",
    log: LogOption = "",
    as_json: JsonOption = False,
    stack: PlatformOption = "",
) -> None:
    """Compare the logged predictions of a version with its training data, and judge its present score.

    Exit code 0: no drift. 3: drift. 4: not enough rows. The report is stored as a run of MLflow.

    Example: manta drift --since 7d
    """
    # The machine-learning libraries take seconds to import.
    from app.drift import job, report  # noqa: PLC0415
    from app.records.drift_runs import EXPERIMENT_SUFFIX  # noqa: PLC0415

    period = parse_period(since, example="--since 7d")
    with open_settings(name=name, stack=stack, log=log) as config:
        result = job.run(config, version=version or None, period=period)
    judgement = result.judgement
    if as_json:
        identity = {"model": result.model, "version": result.version, "since": result.since.isoformat()}
        typer.echo(json.dumps(identity | {"run_id": result.run_id} | judgement.to_json()))
    else:
        typer.echo(f"{result.model} version {result.version}, the last {since}: ", nl=False)
        for line in report.lines(judgement):
            typer.echo(line)
        typer.echo(f"  report: run {result.run_id} of the experiment {config.experiment}{EXPERIMENT_SUFFIX}")
    raise typer.Exit(EXIT_CODES[judgement.verdict])
