"""Follows a submitted job until it ends, or stops it."""

from collections.abc import Callable
from functools import partial
from typing import Final

from app.cli.destination import Destination
from app.cli.jobs.driver import DriverResources, wait_for_start
from app.cli.jobs.job import Job
from app.cli.jobs.ray_jobs_api import RayJobsApi

PRINT_LINE: Final = partial(print, flush=True)
"""Prints a line of the log at once."""


async def follow(
    api: RayJobsApi,
    job: Job,
    driver: DriverResources,
    *,
    timeout_s: float,
    report: Callable[[str], None],
    show: Callable[[str], None] = PRINT_LINE,
) -> None:
    """Wait until a job has started, and show its log until it ends.

    Args:
        api: Jobs API of the cluster.
        job: The job.
        driver: What the job reserves.
        timeout_s: Longest wait for the start.
        report: Receives a line that says what the job waits for, from time to time.
        show: Receives each line of the log.

    Raises:
        PlatformError: No worker had room for the driver in time, or Ray no longer answers.
        JobError: The job failed or was stopped.
    """
    await wait_for_start(api, job.id, driver, timeout_s=timeout_s, report=report)
    async for line in job.lines(api):
        show(line)
    job.check()


async def stop(cluster: Destination, job: Job) -> None:
    """Stop a job.

    Raises:
        PlatformError: Ray does not answer, or does not know the job.
    """
    async with cluster.connect("ray") as endpoints, RayJobsApi(endpoints) as api:
        await api.stop(job.id)
