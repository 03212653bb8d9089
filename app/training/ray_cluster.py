"""The Ray cluster that a training job runs on: whether there is one, and when it has a CPU free.

What runs there is decided in `app.training.distributed_forest` and `app.training.search.tuner`.
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

NOTICE_S: Final = 10.0
"""Pause between two lines that say what is being waited for."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What a connected cluster has for a job."""

    cpus: float
    """CPUs of all its nodes, busy ones among them."""
    share: float
    """CPUs that one piece of work asks for. One; half of one where no node has two, because on such a worker the
    replica that serves takes the other half."""

    @property
    def lanes(self) -> int:
        """Pieces of work that may run side by side."""
        return max(1, int(self.cpus / self.share))


@contextmanager
def connected(address: str, *, timeout_s: float) -> Iterator[Cluster]:
    """Connect to a cluster and wait for a free CPU; a first worker has then started.

    Args:
        address: What Ray's `RAY_ADDRESS` says.
        timeout_s: The longest to wait for a CPU.

    Raises:
        PlatformError: Ray does not answer, or no CPU became free in time.
    """
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PlatformError(
            f"Ray at {address} does not answer: {str(error).splitlines()[0]}",
            next_step="Check that it runs; without RAY_ADDRESS the forest is fitted in this process.",
        ) from error
    try:
        yield _ready(timeout_s)
    finally:
        ray.shutdown()


def _ready(timeout_s: float) -> Cluster:
    """The cluster once it has run a first task; until then say why that waits."""
    probe = None
    started = said = time.monotonic()
    while True:
        cluster = _measured()
        if probe is None:
            probe = ray.remote(num_cpus=cluster.share)(_import_scikit_learn).remote()
        try:
            done, _ = ray.wait([probe], timeout=min(1.0, max(0.0, started + timeout_s - time.monotonic())))
        except RayError as error:
            raise PlatformError(f"Ray was lost: {error}", next_step="Submit the job again.") from error
        if done:
            return _measured()
        now = time.monotonic()
        if now - started >= timeout_s:
            ray.cancel(probe, force=True)
            raise PlatformError(
                f"No CPU became free within {timeout_s:g} s: {_why(cluster)}.",
                next_step="End what holds them, add workers, or wait longer with --timeout.",
            )
        if now - said >= NOTICE_S:
            said = now
            log.info("waiting for a %s: %s", "CPU" if _free() < cluster.share else "worker", _why(cluster))


def _import_scikit_learn() -> None:
    """What every piece of work starts with, and takes longest the first time."""
    import sklearn.ensemble  # noqa: F401, PLC0415


def _measured() -> Cluster:
    sizes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return Cluster(cpus=sum(sizes), share=1.0 if max(sizes, default=0.0) >= 2 else 0.5)  # noqa: PLR2004


def _free() -> float:
    resources: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    return resources.get("CPU", 0.0)


def _why(cluster: Cluster) -> str:
    return f"{_free():g} of the cluster's {cluster.cpus:g} CPUs are free, and {cluster.share:g} on one node is needed"
