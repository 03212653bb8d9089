"""What Ray Serve is told: the application, its arguments, and how many replicas of the model."""

from typing import Any, Final

import yaml

from infra import names
from infra.config.options import AppOptions, SizeOptions

REPLICA_SHARE: Final = 0.5
"""Share of a worker's CPUs that its replica takes. Never all, or training would find none on the workers
that serve; never nothing, or the autoscaler would take such a worker for an idle one."""


TARGET_ONGOING_REQUESTS: Final = 16
"""Requests under way for each replica that more replicas are to bring back to: the replica's answers take a
millisecond, so that as many are under way only where they wait for each other."""


def build(app: AppOptions, size: SizeOptions) -> str:
    """Serve configuration as YAML, for `serveConfigV2`.

    A replica a node is a hard limit: two on one worker would fail with it together.
    """
    deployment: dict[str, Any] = {
        "name": names.DEPLOYMENT,
        **_replicas(size),
        "max_replicas_per_node": 1,
        "ray_actor_options": {"num_cpus": size.cpus * REPLICA_SHARE},
    }
    config: dict[str, Any] = {
        "proxy_location": "EveryNode",
        "http_options": {"host": "0.0.0.0", "port": names.SERVE_PORT},  # noqa: S104  (inside of the pod)
        "applications": [
            {
                "name": names.APPLICATION,
                "route_prefix": app.route_prefix,
                "import_path": names.IMPORT_PATH,
                "args": {"model_name": app.model_name},
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


def _replicas(size: SizeOptions) -> dict[str, Any]:
    """A fixed number, or as many as load brings, up to one on each worker that there may be."""
    if size.replicas >= size.max_workers:
        return {"num_replicas": size.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": size.replicas,
            "max_replicas": size.max_workers,
            "target_ongoing_requests": TARGET_ONGOING_REQUESTS,
        }
    }
