"""`manta evaluate`: score a registered version on rows, and compare it with the champion."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.model_settings import open_settings
from app.cli.shared_options import JsonOption, LogOption, PlatformOption

if TYPE_CHECKING:
    from app.training.evaluated_version import Evaluation
    from app.training.evaluation.intervals import Interval


def evaluate(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Version to score.", show_default=False)],
    *,
    data: Annotated[
        str,
        typer.Option(
            metavar="log:PERIOD|PATH|URL",
            help="Rows with true values: log:30d for the labelled rows that the service predicted, or rows as for "
            "`manta train`.",
        ),
    ] = "log:30d",
    target: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Column with the true values. Not needed with log:PERIOD.", show_default=False
        ),
    ] = "",
    metric: Annotated[
        str, typer.Option(help="Metric of the score (default: the metric of the version's gate).", show_default=False)
    ] = "",
    name: Annotated[str, typer.Option(help="Registered model (default: MANTA_MODEL_NAME).", show_default=False)] = "",
    log: LogOption = "",
    as_json: JsonOption = False,
    stack: PlatformOption = "",
) -> None:
    """Score a registered version on rows with true values, and compare it with the champion.

    Nothing changes: no alias moves, and the service does not load the version.

    Example: manta evaluate 7 --data log:30d
    """
    # The machine-learning libraries take seconds to import.
    from app.training import evaluated_version  # noqa: PLC0415

    with open_settings(name=name, stack=stack, log=log) as config:
        evaluation = evaluated_version.evaluate(
            version, config, data=data, target=target or None, metric=metric or None
        )
    if as_json:
        typer.echo(json.dumps(asdict(evaluation)))
    else:
        for line in lines(evaluation):
            typer.echo(line)


def lines(evaluation: "Evaluation") -> Iterator[str]:
    """Yield the lines of the command's output."""
    rows = f"{evaluation.rows} {'row' if evaluation.rows == 1 else 'rows'}"
    yield f"{evaluation.model}: {evaluation.metric} on {rows} of {evaluation.data}"
    yield f"  version {evaluation.version}: {describe(evaluation.score)}"
    if evaluation.champion_score is not None:
        yield f"  version {evaluation.champion}, the champion: {describe(evaluation.champion_score)}"
    if evaluation.improvement is not None:
        yield f"  improvement over the champion: {describe(evaluation.improvement, sign='+')}"
    if evaluation.note:
        yield f"  note: {evaluation.note}"


def describe(interval: "Interval", *, sign: str = "") -> str:
    """Write a score with its interval. A `sign` of `+` writes the sign of a positive number too."""
    value = f"{interval.value:{sign}.4f}"
    if interval.low is None or interval.high is None:
        return f"{value}; the rows are too few for an interval"
    return f"{value} [{interval.low:{sign}.4f}, {interval.high:{sign}.4f}]"
