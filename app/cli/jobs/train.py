"""`manta train`: the training job, sent to a Ray cluster and followed to its end."""

import asyncio
import inspect
import signal
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from app.cli.jobs import destination, submission
from app.cli.jobs.destination import Cluster
from app.cli.jobs.ray_jobs_api import Job, JobError, Ray
from app.command import EXIT_INTERRUPTED
from app.settings import settings
from app.training.command_line import create_command
from app.training.options import TrainOptions

HELP: Final = """Train a random forest as a Ray job, evaluate it on held-out rows and register it in MLflow.

The job goes to the platform that runs in this folder, else to the selected Pulumi stack.

Example: manta train --data houses.csv --target sold --trees 200
"""

WHERE: Final = "Where"


def command() -> Callable[..., None]:
    """The command: every option of a training run, and where it is to run."""
    chosen: list[TrainOptions] = []
    of_job = create_command(chosen.append, help_text=HELP)

    def train(
        *,
        stack: Annotated[
            str, typer.Option(help="Pulumi stack; the selected one where none runs here.", rich_help_panel=WHERE)
        ] = "",
        address: Annotated[str, typer.Option(help="Ray's dashboard, by URL.", rich_help_panel=WHERE)] = "",
        token: Annotated[
            str, typer.Option(help="Its token; RAY_AUTH_TOKEN keeps it out of `ps`.", rich_help_panel=WHERE)
        ] = "",
        **of_the_job: Any,  # noqa: ANN401 - handed on as they came
    ) -> None:
        of_job(**of_the_job)
        run(destination.find(settings(), address=address, token=token, stack_name=stack), chosen.pop())

    parts = [inspect.signature(part).parameters.values() for part in (of_job, train)]
    every = [one.replace(kind=one.KEYWORD_ONLY) for part in parts for one in part if one.kind != one.VAR_KEYWORD]
    train.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    train.__annotations__ = of_job.__annotations__ | train.__annotations__
    train.__doc__ = HELP
    return train


def run(where: Cluster, chosen: TrainOptions) -> None:
    """Send the job, print its output, and end with its exit code.

    Ctrl-C asks what is meant; without a terminal it ends the watching alone. SIGTERM stops the job.

    Raises:
        MantaError: The job cannot be sent, or Ray does not answer any more.
    """
    typer.echo(f"Ray at {where.name}", err=True)
    job = Job()
    while True:
        try:
            asyncio.run(_to_the_end(where, chosen, job))
        except KeyboardInterrupt:
            if not job.is_sent:
                raise
            _ask_what_is_meant(where, job)
        except asyncio.CancelledError as error:
            if job.is_sent:
                asyncio.run(_stop(where, job))
            raise typer.Exit(128 + signal.SIGTERM) from error
        except JobError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        else:
            return


async def _to_the_end(where: Cluster, chosen: TrainOptions, job: Job) -> None:
    """Send the job unless that is done, and print what it writes; SIGTERM cancels this."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with where.reached() as target, Ray(target) as ray:
        if not job.is_sent:
            await submission.send(ray, where, chosen, job)
            typer.echo(f"job {job.id}", err=True)
        async for line in job.lines(ray):
            print(line, flush=True)  # noqa: T201 - the job's output
        job.check()


def _ask_what_is_meant(where: Cluster, job: Job) -> None:
    """Stop the job, or stop watching it, or go on, as the user says.

    Raises:
        Exit: The job is not watched any longer.
    """
    answer = "w"
    if sys.stdin.isatty():
        try:
            answer = typer.prompt("\nStop the job (s), only stop watching it (w), or go on (g)?", default="w", err=True)
        except typer.Abort:
            typer.echo(err=True)
    if answer.strip().lower().startswith("s"):
        asyncio.run(_stop(where, job))
    elif not answer.strip().lower().startswith("g"):
        at = f"--address {where.target.ray_url} {job.id}"
        typer.echo(f"The job goes on. See it: ray job logs --follow {at}. Stop it: ray job stop {at}.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)


async def _stop(where: Cluster, job: Job) -> None:
    async with where.reached() as target, Ray(target) as ray:
        await ray.stop(job.id)
