"""Judges the champion of every model of the service: `python -m app.drift.scheduled --since 7d`.

The schedule of a stack runs this module as a Ray job, and `manta local --drift-every` as a process.
"""

from typing import Annotated

import typer

from app.command import run_command, single_command_app
from app.drift import job, report
from app.errors import MantaError, RegistryUnavailableError
from app.models.registry import Registry
from app.records.period import parse_period
from app.settings import settings


def judge_all(
    since: Annotated[str, typer.Option(metavar="PERIOD", help="Period to judge: minutes, hours or days.")] = "7d",
) -> None:
    """Judge the champion of every model that the service serves, and store each report as a run of MLflow.

    Exit code 0: every champion was judged; the verdict has no influence. 1: at least one champion was not judged.
    """
    period, config = parse_period(since, example="--since 7d"), settings()
    registry = Registry(config)
    champions = registry.served_models(config.models).champions
    default = registry.champion(config.model_name)
    champions[config.model_name] = None if default is None else str(default.version)
    is_complete = True
    for name, version in sorted(champions.items()):
        if version is None:
            typer.echo(f"{name} has no champion.")
            continue
        try:
            result = job.run(config.model_copy(update={"model_name": name}), version=version, period=period)
        except RegistryUnavailableError:
            raise
        except MantaError as error:
            is_complete = False
            typer.echo(f"{name} version {version} cannot be judged: {error}")
        else:
            typer.echo(f"{name} version {version}, the last {since}: ", nl=False)
            for line in report.lines(result.judgement):
                typer.echo(line)
    if not is_complete:
        raise typer.Exit(1)


if __name__ == "__main__":
    run_command(single_command_app(judge_all))
