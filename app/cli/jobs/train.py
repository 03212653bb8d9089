"""`manta train`: submit a training job to a Ray cluster and follow it until it ends."""

import asyncio
import inspect
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import typer

from app.cli import destination
from app.cli.destination import Destination
from app.cli.jobs import submission
from app.cli.jobs.driver import DEFAULT_CPUS, DEFAULT_MEMORY, DriverResources
from app.cli.jobs.follow import follow, stop
from app.cli.jobs.job import Job, JobError
from app.cli.jobs.ray_jobs_api import RayJobsApi
from app.command import EXIT_INTERRUPTED
from app.settings import settings
from app.training.command_line import create_command
from app.training.options import TrainOptions

HELP: Final = """Train a model in a Ray job: a random forest, or your own model with --model.

The job evaluates the model on held-out rows and registers it in MLflow.
If a platform runs in this folder (`manta local`), the job runs there.
Otherwise it runs on the selected Pulumi stack.

Example: manta train --data houses.csv --target sold --trees 200
"""

CLUSTER_PANEL: Final = "Ray cluster"


def command() -> Callable[..., None]:
    """Build the command: the options of a training run, and the options that choose the Ray cluster."""
    parsed_options: list[TrainOptions] = []
    parse_train_options = create_command(parsed_options.append, help_text=HELP)

    def train(
        *,
        stack: Annotated[
            str,
            typer.Option(
                metavar="NAME",
                help="Pulumi stack (default: the selected stack, unless a platform runs in this folder).",
                rich_help_panel=CLUSTER_PANEL,
                show_default=False,
            ),
        ] = "",
        address: Annotated[
            str,
            typer.Option(
                metavar="URL",
                help="URL of Ray's dashboard; it has priority over --stack (default: MANTA_RAY_URL).",
                rich_help_panel=CLUSTER_PANEL,
                show_default=False,
            ),
        ] = "",
        token: Annotated[
            str,
            typer.Option(
                help="Ray's token (default: RAY_AUTH_TOKEN). `ps` shows options, but not environment variables.",
                rich_help_panel=CLUSTER_PANEL,
                show_default=False,
            ),
        ] = "",
        pending: Annotated[
            bool,
            typer.Option(
                "--pending",
                help="Train on the new Ray cluster of an upgrade of the stack, before it serves.",
                rich_help_panel=CLUSTER_PANEL,
            ),
        ] = False,
        driver_cpus: Annotated[
            float,
            typer.Option(
                min=0.01,
                help="CPUs that the job's driver reserves on a worker, besides the CPUs of its tasks.",
                rich_help_panel=CLUSTER_PANEL,
            ),
        ] = DEFAULT_CPUS,
        driver_memory: Annotated[
            str,
            typer.Option(
                metavar="SIZE",
                help="Memory that the job's driver reserves on a worker, such as 4Gi. Data that needs more is refused "
                f"(default: {DEFAULT_MEMORY}, and data may use what is free).",
                rich_help_panel=CLUSTER_PANEL,
                show_default=False,
            ),
        ] = "",
        **train_arguments: Any,  # noqa: ANN401 - passed on unchanged to `parse_train_options`, which declares their types
    ) -> None:
        parse_train_options(**train_arguments)
        driver = DriverResources(cpus=driver_cpus, memory=driver_memory)
        cluster = (
            destination.find_pending(address=address, token=token, stack=stack)
            if pending
            else destination.find_ray(settings(), address=address, token=token, stack=stack)
        )
        run(cluster, parsed_options.pop(), driver)

    functions = (parse_train_options, train)
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for function in functions
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind != inspect.Parameter.VAR_KEYWORD
    ]
    # Typer reads a command's options from its signature.
    train.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # a function has no such attribute
    train.__annotations__ = parse_train_options.__annotations__ | train.__annotations__
    train.__doc__ = HELP
    return train


def run(cluster: Destination, train_options: TrainOptions, driver: DriverResources) -> None:
    """Submit the job, print its output, and end with its exit code.

    Ctrl-C on a terminal asks what to do. Without a terminal, Ctrl-C ends this command and the job continues. SIGTERM
    stops the job.

    Raises:
        MantaError: The job cannot be submitted, or Ray no longer answers.
        Exit: The job failed, or the command was interrupted.
    """
    typer.echo(f"Ray at {cluster.name}", err=True)
    job = Job()
    while True:
        try:
            asyncio.run(_follow(cluster, train_options, driver, job))
        except KeyboardInterrupt:
            if not job.is_submitted:
                raise
            _handle_interrupt(cluster, job)
        except asyncio.CancelledError as error:
            if job.is_submitted:
                asyncio.run(stop(cluster, job))
            raise typer.Exit(128 + signal.SIGTERM) from error
        except JobError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        else:
            return


async def _follow(cluster: Destination, train_options: TrainOptions, driver: DriverResources, job: Job) -> None:
    """Submit the job unless it is submitted already, and print its log. SIGTERM cancels this task."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with cluster.connect("ray") as endpoints, RayJobsApi(endpoints) as api:
        report = partial(typer.echo, err=True)
        if not job.is_submitted:
            await submission.submit(api, cluster, train_options, job, driver=driver, report=report)
            typer.echo(f"job {job.id}", err=True)
        await follow(api, job, driver, timeout_s=train_options.timeout, report=report)


def _handle_interrupt(cluster: Destination, job: Job) -> None:
    """Ask whether to stop the job, to stop watching it, or to go on watching; without a terminal, stop watching.

    Raises:
        Exit: The command ends and the job continues.
    """
    answer = "w"
    if sys.stdin.isatty():
        try:
            answer = typer.prompt(
                "\nStop the job (s), stop watching it (w), or go on watching (g)?", default="w", err=True
            )
        except typer.Abort:
            typer.echo(err=True)
    if answer.strip().lower().startswith("s"):
        asyncio.run(stop(cluster, job))
    elif not answer.strip().lower().startswith("g"):
        arguments = f"--address {cluster.endpoints.ray_url} {job.id}"
        typer.echo(
            f"The job continues. Follow it: ray job logs --follow {arguments}. Stop it: ray job stop {arguments}.",
            err=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED)
