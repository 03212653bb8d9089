"""`manta shadow --from-log`: let a version answer the requests of the prediction log, in the process of the command."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from app.cli.model_settings import open_settings
from app.cli.service import evaluate, shadow_tables
from app.errors import MantaError
from app.records.period import parse_period

if TYPE_CHECKING:
    from app.replay.result import Replay


def replay(version: str, period: str, *, name: str, log: str, stack: str, as_json: bool) -> None:
    """Replay the prediction log, store the comparison in MLflow, and print it."""
    # The machine-learning libraries take seconds to import.
    from app.replay import job  # noqa: PLC0415

    duration = parse_period(period, example="--from-log 7d")
    trouble = ""
    with open_settings(name=name, stack=stack, log=log) as config:
        result = job.run(config, version=version, period=duration)
        try:
            job.write(result, config)
        except MantaError as error:
            trouble = f"The figures are not in MLflow: {error}"
    if as_json:
        typer.echo(json.dumps(result.to_json() | {"trouble": trouble or None}))
        return
    answerers = ", ".join(f"{number} ({rows} rows)" for number, rows in result.answered_by.items())
    typer.echo(
        f"{result.model} version {version} answered {result.figures.rows} of {result.logged_rows} logged rows of the "
        f"last {period}. Versions that answered then: {answerers}."
    )
    figures = result.figures.model_dump(mode="json")
    shadow_tables.print_figures(figures, champion="answered then", version=f"version {version}")
    shadow_tables.print_rows([row.model_dump(mode="json") for row in result.rows])
    for line in _lines(result):
        typer.echo(line)
    if trouble:
        typer.echo(f"warning: {trouble}", err=True)
    else:
        typer.echo(f"The comparison is in the MLflow run of version {version}, in the folder {result.folder}.")


def _lines(result: "Replay") -> Iterator[str]:
    """Yield the lines below the tables."""
    score = result.score
    if score is not None:
        yield f"{score.metric} on {score.rows} {'row' if score.rows == 1 else 'rows'} with labels"
        yield f"  version {result.version}: {evaluate.describe(score.score)}"
        yield f"  answered then: {evaluate.describe(score.answered)}"
        yield f"  improvement: {evaluate.describe(score.improvement, sign='+')}"
    for note in result.notes:
        yield f"note: {note}"
