"""The driver of a training job: what it reserves on a worker, and the wait until a worker has room for it.

Ray runs a driver that reserves nothing on the head. There it would share memory with the state of the whole cluster.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import ByteSize, TypeAdapter, ValidationError

from app.cli.jobs.ray_jobs_api import JobState, RayJobsApi, UnreachableError
from app.errors import ParameterError, PlatformError

DEFAULT_CPUS: Final = 0.01
"""CPUs that a driver reserves, so that Ray places it on a worker. While its tasks run, a driver only waits. The drivers
of ten jobs fit into what a task leaves free of its CPU, see `app.training.ray_cluster`."""

DEFAULT_MEMORY: Final = "768Mi"
"""Memory that a driver reserves: for a small data set, it and Ray's process that starts it use up to 620 MiB."""

QUIET_WAIT_S: Final = 8.0
"""Time after which a wait is reported. A job starts within two seconds if a worker has room for it."""

REPORT_INTERVAL_S: Final = 30.0
"""Interval between two reports of a wait."""

POLL_S: Final = 0.2
"""Pause between two requests for the state of a job that has not started."""

GIBIBYTE: Final = 2**30


@dataclass(frozen=True, kw_only=True)
class DriverResources:
    """CPUs and memory that Ray reserves for a driver on a worker."""

    cpus: float = DEFAULT_CPUS
    """Above 0: Ray would place a driver that needs no CPU on the head."""
    memory: str = ""
    """Kubernetes quantity, such as 4Gi. Empty: `DEFAULT_MEMORY`, which is no limit for the size of the data."""

    @property
    def memory_bytes(self) -> int:
        """The reserved memory in bytes.

        Raises:
            ParameterError: The memory is not a quantity.
        """
        text = self.memory or DEFAULT_MEMORY
        try:
            size_bytes = TypeAdapter(ByteSize).validate_python(f"{text}B" if text.endswith("i") else text)
        except ValidationError as error:
            raise ParameterError(
                f"{text!r} is no size of memory.", allowed="a number with a unit: 512Mi, 4Gi"
            ) from error
        return int(size_bytes)

    def __str__(self) -> str:
        return _describe(self.cpus, self.memory_bytes)


async def wait_for_start(
    api: RayJobsApi, job_id: str, driver: DriverResources, *, timeout_s: float, report: Callable[[str], None]
) -> None:
    """Wait until a job has started or ended. A job that does not start in time is stopped.

    Args:
        api: Jobs API of the cluster.
        job_id: Id of the job.
        driver: What the job reserves.
        timeout_s: Longest wait. Ray itself gives up after 15 minutes.
        report: Receives a line that says what the job waits for, from time to time.

    Raises:
        PlatformError: No worker had room for the driver in time, or Ray does not know the job.
    """
    start_s = last_report_s = time.monotonic()
    while (state := await _state(api, job_id)).status == "PENDING":
        now_s = time.monotonic()
        if now_s - start_s >= timeout_s:
            await api.stop(job_id)
            raise PlatformError(
                f"The job {job_id} has not started within {timeout_s:g} s and was stopped. It needs a worker with "
                f"{driver} free; {await _describe_workers(api, driver)}.",
                next_step="Stop the jobs that use the workers, add workers (`maxWorkers`) or larger ones (`cpus`, "
                "`memory`), reserve less with --driver-cpus and --driver-memory, or wait longer with --timeout.",
            )
        is_first_report = last_report_s == start_s
        if now_s - last_report_s >= (QUIET_WAIT_S if is_first_report else REPORT_INTERVAL_S):
            last_report_s = now_s
            report(
                f"waiting for a worker with {driver} free, at most {timeout_s:g} s: "
                f"{await _describe_workers(api, driver)}. Ray says: {state.message}"
            )
        await asyncio.sleep(POLL_S)


async def _state(api: RayJobsApi, job_id: str) -> JobState:
    try:
        return await api.state(job_id)
    except UnreachableError:
        return JobState(status="PENDING", message="no answer")


async def _describe_workers(api: RayJobsApi, driver: DriverResources) -> str:
    """Describe the size of the workers, as far as Ray answers."""
    try:
        nodes = await api.nodes()
    except UnreachableError:
        return "Ray does not answer"
    workers = [(node.get("CPU", 0.0), node.get("memory", 0.0)) for node in nodes if node.get("CPU")]
    if not workers:
        return "there is no worker yet"
    cpus, memory_bytes = max(workers)
    size = _describe(cpus, memory_bytes)
    if all(cpus < driver.cpus or memory_bytes < driver.memory_bytes for cpus, memory_bytes in workers):
        return f"no worker is that large, the largest of the cluster has {size}"
    return f"the cluster has {len(workers)} worker(s) of up to {size}"


def _describe(cpus: float, memory_bytes: float) -> str:
    return f"{cpus:g} CPU and {memory_bytes / GIBIBYTE:.3g} GiB of memory"
