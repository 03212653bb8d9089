"""Submits the Ray job that judges drift, and the training that a judgement begins: `python -m app.cli.jobs.drift`.

The CronJob `drift-schedule` of a stack runs this module in the image of the stack, and `manta local --drift-every` runs
it on this machine. SIGTERM stops the job that runs.
"""

import asyncio
import signal
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli import destination
from app.cli.destination import Destination
from app.cli.jobs import submission
from app.cli.jobs.driver import DriverResources
from app.cli.jobs.follow import PRINT_LINE, follow, stop
from app.cli.jobs.job import Job, JobError
from app.cli.jobs.ray_jobs_api import JobSubmitRequest, RayJobsApi
from app.command import run_command, single_command_app
from app.drift.hand_over import Retraining
from app.settings import settings

ENTRYPOINT: Final = "python -m app.drift.scheduled --hand-over"
"""Command of the judging job; the id of the job follows as the marker of the line that hands a training over."""

START_TIMEOUT_S: Final = 600.0
"""How long the judging job waits for a worker."""

DRIVER: Final = DriverResources()
REPORT: Final = partial(typer.echo, err=True)


def judge(address: Annotated[str, typer.Option(metavar="URL", help="URL of Ray's dashboard.")]) -> None:
    """Judge the champion of every model of the service in a Ray job, and submit the training that is due, if any.

    Raises:
        MantaError: A job cannot be submitted, Ray no longer answers, or a job failed.
        Exit: SIGTERM stopped the job.
    """
    cluster, jobs = destination.find_ray(settings(), address=address, token="", stack=""), [Job()]
    try:
        asyncio.run(_judge_and_train(cluster, jobs))
    except asyncio.CancelledError as error:
        if jobs[-1].is_submitted:
            asyncio.run(stop(cluster, jobs[-1]))
        raise typer.Exit(128 + signal.SIGTERM) from error


async def _judge_and_train(cluster: Destination, jobs: list[Job]) -> None:
    """Run the judging job, and then the training. SIGTERM cancels this task.

    Args:
        cluster: The Ray cluster.
        jobs: The judging job. This function appends the job of the training. The last job of the list runs.
    """
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with cluster.connect("ray") as endpoints, RayJobsApi(endpoints) as api:
        retrainings: list[Retraining] = []
        failure: JobError | None = None
        try:
            await _run_judgement(api, jobs[0], retrainings)
        except JobError as error:
            # One champion could not be judged. The training of another model must begin: MLflow says that it does.
            failure = error
        for retraining in retrainings:
            jobs.append(Job())
            await _run_training(api, cluster, jobs[-1], retraining)
        if failure is not None:
            raise failure


async def _run_judgement(api: RayJobsApi, job: Job, retrainings: list[Retraining]) -> None:
    """Submit the judging job, print its log, and collect the trainings that it hands over."""

    def show(line: str) -> None:
        retraining = Retraining.from_line(line, marker=job.id)
        if retraining is None:
            PRINT_LINE(line)
        else:
            retrainings.append(retraining)

    request = JobSubmitRequest(
        entrypoint=f"{ENTRYPOINT} {job.id}",
        submission_id=job.id,
        entrypoint_num_cpus=DRIVER.cpus,
        entrypoint_memory=DRIVER.memory_bytes,
        metadata={"user": settings().user},
    )
    await api.submit(request, report=REPORT)
    job.is_submitted = True
    await follow(api, job, DRIVER, timeout_s=START_TIMEOUT_S, report=REPORT, show=show)


async def _run_training(api: RayJobsApi, cluster: Destination, job: Job, retraining: Retraining) -> None:
    """Submit a training like `manta train`, but without a working directory, and print its log."""
    request = submission.build_request(
        cluster,
        retraining.options,
        job.id,
        driver=DRIVER,
        working_dir=None,
        folder=Path.cwd(),
        judgement=retraining.judgement,
    )
    await api.submit(request, report=REPORT)
    job.is_submitted = True
    PRINT_LINE(f"The retraining runs as the job {job.id}. Stop it with: ray job stop {job.id}")
    await follow(api, job, DRIVER, timeout_s=retraining.options.timeout, report=REPORT)


if __name__ == "__main__":
    run_command(single_command_app(judge))
