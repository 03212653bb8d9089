"""The configuration of Ray Serve: the application, its arguments, and the number of replicas."""

from typing import Final

import yaml

from infra import names
from infra.config.options import AppOptions, SizeOptions

REPLICA_CPU_SHARE: Final = 0.5
"""CPUs of a replica as a share of its worker's CPUs. With 1, training would find no CPU on the workers that serve.
With 0, the autoscaler would consider such a worker idle and remove it."""
TARGET_ONGOING_REQUESTS: Final = 16
"""Target number of ongoing requests per replica. A replica answers in about a millisecond, so this many requests are
ongoing only if they wait for each other."""


def build(app: AppOptions, size: SizeOptions) -> str:
    """Serve configuration as YAML, for `serveConfigV2`.

    It allows one replica per node at most, because two replicas on one worker would fail together.
    """
    deployment: dict[str, object] = {
        "name": names.DEPLOYMENT,
        **_replicas(size),
        "max_replicas_per_node": 1,
        "ray_actor_options": {"num_cpus": size.cpus * REPLICA_CPU_SHARE},
    }
    config: dict[str, object] = {
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


def _replicas(size: SizeOptions) -> dict[str, object]:
    """A fixed number of replicas, or autoscaling up to one replica per worker where workers allow more."""
    if size.replicas >= size.max_workers:
        return {"num_replicas": size.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": size.replicas,
            "max_replicas": size.max_workers,
            "target_ongoing_requests": TARGET_ONGOING_REQUESTS,
        }
    }
