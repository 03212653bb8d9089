"""Submits the Ray job that judges drift, and follows the job to its end: `python -m app.cli.jobs.drift --address URL`.

The CronJob `drift-schedule` of a stack runs this module in the image of the stack. SIGTERM stops the job.
"""

import asyncio
import signal
from functools import partial
from typing import Annotated, Final

import typer

from app.cli import destination
from app.cli.destination import Destination
from app.cli.jobs.driver import DriverResources
from app.cli.jobs.follow import follow, stop
from app.cli.jobs.job import Job
from app.cli.jobs.ray_jobs_api import JobSubmitRequest, RayJobsApi
from app.command import run_command, single_command_app
from app.settings import settings

ENTRYPOINT: Final = "python -m app.drift.scheduled"

START_TIMEOUT_S: Final = 600.0
"""How long the job waits for a worker."""


def judge(address: Annotated[str, typer.Option(metavar="URL", help="URL of Ray's dashboard.")]) -> None:
    """Judge the champion of every model of the service in a Ray job.

    Raises:
        MantaError: The job cannot be submitted, Ray no longer answers, or the job failed.
        Exit: SIGTERM stopped the job.
    """
    cluster, job = destination.find_ray(settings(), address=address, token="", stack=""), Job()
    try:
        asyncio.run(_follow(cluster, job))
    except asyncio.CancelledError as error:
        if job.is_submitted:
            asyncio.run(stop(cluster, job))
        raise typer.Exit(128 + signal.SIGTERM) from error


async def _follow(cluster: Destination, job: Job) -> None:
    """Submit the job, and print its log. SIGTERM cancels this task."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with cluster.connect("ray") as endpoints, RayJobsApi(endpoints) as api:
        driver, report = DriverResources(), partial(typer.echo, err=True)
        request = JobSubmitRequest(
            entrypoint=ENTRYPOINT,
            submission_id=job.id,
            entrypoint_num_cpus=driver.cpus,
            entrypoint_memory=driver.memory_bytes,
            metadata={"user": settings().user},
        )
        await api.submit(request, report=report)
        job.is_submitted = True
        await follow(api, job, driver, timeout_s=START_TIMEOUT_S, report=report)


if __name__ == "__main__":
    run_command(single_command_app(judge))
