"""The configuration of Ray Serve: the application, its arguments, and the number of replicas."""

from decimal import Decimal
from typing import Final

import yaml

from infra import names
from infra.config import quantities
from infra.config.options import AppOptions, SizeOptions

REPLICA_CPU_SHARE: Final = 0.5
"""CPUs of all replicas of a worker as a share of the worker's CPUs. With 1, training would find no CPU on the workers
that serve. With 0, the autoscaler would consider such a worker idle and remove it."""
REPLICA_MEMORY: Final = Decimal(2**30)
"""Memory in bytes that a worker must have for each of its replicas. A replica without a model takes half of it."""
TARGET_ONGOING_REQUESTS: Final = 16
"""Target number of ongoing requests per replica. A replica answers in about a millisecond, so this many requests are
ongoing only if they wait for each other."""


def build(app: AppOptions, size: SizeOptions, *, is_apart: bool = False) -> str:
    """Serve configuration as YAML, for `serveConfigV2`.

    No worker has more than its share of the replicas, because the replicas of one worker fail together.

    Args:
        app: The model and the route of the application.
        size: The workers that serve.
        is_apart: Whether these workers only serve. They offer no CPU then, so that no job runs there.
    """
    per_worker = replicas_per_worker(size)
    options: dict[str, object] = {"num_cpus": size.cpus * REPLICA_CPU_SHARE / per_worker}
    if is_apart:
        options = {"num_cpus": 0, "resources": {names.REPLICA_RESOURCE: 1}}
    deployment: dict[str, object] = {
        "name": names.DEPLOYMENT,
        **_replicas(size, per_worker),
        "max_replicas_per_node": per_worker,
        "ray_actor_options": options,
    }
    config: dict[str, object] = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": names.SERVE_PORT},  # noqa: S104  (inside of the pod)
        "applications": [
            {
                "name": names.APPLICATION,
                "route_prefix": app.route_prefix,
                "import_path": names.IMPORT_PATH,
                "args": {"model_name": app.model_name, "load_timeout_s": app.load_timeout_seconds},
                "deployments": [deployment],
            },
            {
                # A separate application, because it waits until the application above is running.
                "name": names.UPGRADE_BARRIER,
                "route_prefix": None,
                "import_path": names.UPGRADE_BARRIER_IMPORT_PATH,
                "args": {"port": names.SERVE_PORT},
            },
        ],
    }
    return str(yaml.safe_dump(config, sort_keys=False))


def replicas_per_worker(size: SizeOptions) -> int:
    """Replicas of a worker: one for each CPU of their share, as far as its memory allows, but at least one.

    A replica answers on one thread, so further CPUs are of use to further replicas only.
    """
    by_memory = int(quantities.value(size.memory) / REPLICA_MEMORY)
    return max(1, min(int(size.cpus * REPLICA_CPU_SHARE), by_memory))


def _replicas(size: SizeOptions, per_worker: int) -> dict[str, object]:
    """A fixed number of replicas, or autoscaling up to the maximum number of workers."""
    if size.replicas >= size.max_workers:
        return {"num_replicas": size.replicas * per_worker}
    return {
        "autoscaling_config": {
            "min_replicas": size.replicas * per_worker,
            "max_replicas": size.max_workers * per_worker,
            "target_ongoing_requests": TARGET_ONGOING_REQUESTS,
        }
    }
