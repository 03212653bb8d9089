"""Judges the champion of every model of the service: `python -m app.drift.scheduled --since 7d`.

`app.cli.jobs.drift` submits this module as a Ray job: for the schedule of a stack, and for `manta local --drift-every`.
"""

from typing import Annotated

import typer

from app.command import run_command, single_command_app
from app.drift import decision_log, job, report
from app.drift.job import DriftResult
from app.drift.retraining_begin import begin_if_due
from app.errors import MantaError, RegistryUnavailableError
from app.models.registry import Registry
from app.records.period import parse_period
from app.settings import Settings, settings


def judge_all(
    since: Annotated[str, typer.Option(metavar="PERIOD", help="Period to judge: minutes, hours or days.")] = "7d",
    hand_over: Annotated[
        str,
        typer.Option(
            metavar="MARKER",
            help="Count as a judgement of the schedule, and print a retraining that is due as a line that begins so.",
        ),
    ] = "",
) -> None:
    """Judge the champion of every model that the service serves, and store each report as a run of MLflow.

    Exit code 0: every champion was judged; the verdict has no influence. 1: at least one champion was not judged.
    """
    period, config = parse_period(since, example="--since 7d"), settings()
    registry = Registry(config)
    results = list[DriftResult]()
    is_complete = True
    for name, version in sorted(_champions(registry, config).items()):
        if version is None:
            typer.echo(f"{name} has no champion.")
            continue
        try:
            result = job.run(
                config.model_copy(update={"model_name": name}),
                version=version,
                period=period,
                is_scheduled=bool(hand_over),
            )
        except RegistryUnavailableError:
            raise
        except MantaError as error:
            is_complete = False
            typer.echo(f"{name} version {version} cannot be judged: {error}")
        else:
            results.append(result)
            typer.echo(f"{name} version {version}, the last {since}: ", nl=False)
            for line in report.lines(result.judgement):
                typer.echo(line)
    if hand_over:
        _retrain_one(results, registry, config, marker=hand_over)
    if not is_complete:
        raise typer.Exit(1)


def _champions(registry: Registry, config: Settings) -> dict[str, str | None]:
    """Return the number of the champion by the name of each model; None for a model without one."""
    champions = registry.served_models(config.models).champions
    default = registry.champion(config.model_name)
    return champions | {config.model_name: None if default is None else str(default.version)}


def _retrain_one(results: list[DriftResult], registry: Registry, config: Settings, *, marker: str) -> None:
    """Print and log the decision about each champion, and hand the first retraining that is due over to the submitter.

    One run of the schedule begins at most one retraining, so that two never run at once.
    """
    is_busy = False
    with decision_log.opened(config.json_log):
        for result in results:
            decision, retraining = begin_if_due(config.retrain_on, result, config, registry, is_busy=is_busy)
            typer.echo(f"{result.model} version {result.version}: {decision}")
            decision_log.add(result, decision)
            if retraining is not None:
                is_busy = True
                typer.echo(retraining.to_line(marker))


if __name__ == "__main__":
    run_command(single_command_app(judge_all))
