"""The connection of a training job to a Ray cluster, and the wait for a free CPU.

`app.training.distributed_forest` and `app.training.search.tuner` run tasks on the cluster.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import ray
from ray.exceptions import RayError

from app.errors import PlatformError

log = logging.getLogger("manta.train")

WAIT_LOG_INTERVAL_S: Final = 10.0
"""Interval between log lines while the job waits for a free CPU."""


CPUS_FOR_DRIVERS: Final = 0.1
"""CPUs that a task leaves free of its CPU: room for the drivers of ten jobs on the node of the task."""


@dataclass(frozen=True, kw_only=True)
class RayWorkers:
    """The CPUs of a Ray cluster that a job is connected to."""

    total_cpus: float
    """CPUs of all nodes, free and busy."""
    cpus_per_task: float
    """CPUs that one task reserves: 0.9, or 0.4 if no node has two CPUs.

    The serving replicas of a node reserve half of its CPUs. The rest must hold a task and the driver that waits for it,
    so that a job trains on a single worker with one CPU, also while the drivers of other jobs wait there.
    """

    @property
    def parallel_tasks(self) -> int:
        """Number of tasks that can run at the same time."""
        return max(1, int(self.total_cpus / self.cpus_per_task))


@contextmanager
def connect(address: str, *, timeout_s: float) -> Iterator[RayWorkers]:
    """Connect to a Ray cluster, wait until it has run a first task, and disconnect at the end.

    Args:
        address: Address of the cluster, as in `RAY_ADDRESS`.
        timeout_s: Longest time to wait for a free CPU.

    Yields:
        The CPUs of the cluster.

    Raises:
        PlatformError: Ray does not answer, or no CPU became free in time.
    """
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PlatformError(
            f"Ray at {address} does not answer: {str(error).splitlines()[0]}",
            next_step="Check that Ray runs. Without RAY_ADDRESS the forest is fitted in this process.",
        ) from error
    try:
        yield _wait_for_cpu(timeout_s)
    finally:
        ray.shutdown()


def _wait_for_cpu(timeout_s: float) -> RayWorkers:
    """Wait until the cluster has run a first task, and log the reason for the wait."""
    task = None
    start_s = last_log_s = time.monotonic()
    while True:
        workers = _read_workers()
        if task is None:
            task = ray.remote(num_cpus=workers.cpus_per_task)(_import_scikit_learn).remote()
        try:
            done, _ = ray.wait([task], timeout=min(1.0, max(0.0, start_s + timeout_s - time.monotonic())))
        except RayError as error:
            raise PlatformError(
                f"The connection to Ray was lost: {error}", next_step="Submit the job again."
            ) from error
        if done:
            return _read_workers()
        now_s = time.monotonic()
        if now_s - start_s >= timeout_s:
            ray.cancel(task, force=True)
            raise PlatformError(
                f"No CPU became free within {timeout_s:g} s: {_describe_cpus(workers)}.",
                next_step="Stop the jobs that use the CPUs, add workers, or wait longer with --timeout.",
            )
        if now_s - last_log_s >= WAIT_LOG_INTERVAL_S:
            last_log_s = now_s
            resource = "CPU" if _free_cpus() < workers.cpus_per_task else "worker"
            log.info("waiting for a %s: %s", resource, _describe_cpus(workers))


def _import_scikit_learn() -> None:
    """Import what every task needs; the first import in a worker process takes seconds."""
    import sklearn.ensemble  # noqa: F401, PLC0415 - imported for its effect, in the worker only


def _read_workers() -> RayWorkers:
    nodes = ray.nodes()  # type: ignore[no-untyped-call] # Ray's API has no types
    cpus = [node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]]
    has_node_with_two_cpus = max(cpus, default=0.0) >= 2  # noqa: PLR2004 - two CPUs
    return RayWorkers(total_cpus=sum(cpus), cpus_per_task=(1.0 if has_node_with_two_cpus else 0.5) - CPUS_FOR_DRIVERS)


def _free_cpus() -> float:
    resources: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call] # Ray's API has no types
    return resources.get("CPU", 0.0)


def _describe_cpus(workers: RayWorkers) -> str:
    return (
        f"{_free_cpus():g} of the cluster's {workers.total_cpus:g} CPUs are free, "
        f"and {workers.cpus_per_task:g} on one node is needed"
    )
