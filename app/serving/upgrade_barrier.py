"""What an upgrade waits for: a Serve application that runs once the workers of a new cluster take requests.

KubeRay turns its Service to a new cluster as soon as every application there is RUNNING. The model's replicas are,
before the proxies beside them send requests their way, and before Kubernetes has seen that: until then the Service
would have no endpoint, and clients would be refused. This application holds KubeRay back for that while, and then
gives up its one replica.
"""

import logging
import time
from typing import Final

import httpx
import ray
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve.schema import ApplicationStatus

from app import names

SETTLE_S: Final = 5.0
"""How long the workers must take requests without a break: Kubernetes asks them every second, and its endpoints
follow within another."""
PAUSE_S: Final = 0.5
"""Between two looks at the workers."""
TOLD_S: Final = 10.0
"""Between two lines in the log that say what is waited for."""
HEALTH_PATH: Final = "/-/healthz"
"""Where a proxy of Serve says whether it has a replica to send requests to."""
ANSWER_TIMEOUT_S: Final = 2.0

log = logging.getLogger(names.SERVING_LOG)


class SwitchoverArgs(BaseModel):
    """Arguments of the application, from `args` of the Serve config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(ge=1, le=65535, description="Port of Serve's proxies.")


class Switchover:
    """One replica, whose start lasts until the workers take requests. `pulumi up` limits the wait."""

    def __init__(self, args: SwitchoverArgs) -> None:
        since = told = time.monotonic()
        while time.monotonic() - since < SETTLE_S:
            time.sleep(PAUSE_S)
            if missing := _missing(args.port):
                since = time.monotonic()
                if since - told > TOLD_S:
                    log.info("The switch to this cluster waits for %s.", missing)
                    told = since


def build(args: SwitchoverArgs) -> serve.Application:
    """Build the Serve application from the arguments of its config."""
    deployment = serve.deployment(
        name=names.SWITCHOVER,
        ray_actor_options={"num_cpus": 0},
        # Ray Serve asks a deployment without requests to give up its replicas, once they run.
        autoscaling_config={"initial_replicas": 1, "min_replicas": 0, "max_replicas": 1, "downscale_delay_s": 0},
    )
    application: serve.Application = deployment(Switchover).bind(args)
    return application


def _missing(port: int) -> str:
    """What there is still to wait for; empty when every node with a replica takes requests."""
    status = serve.status()
    model = status.applications.get(names.APPLICATION)
    if model is None or model.status != ApplicationStatus.RUNNING:
        return f"the application {names.APPLICATION}, which is {model.status if model else 'not deployed'}"
    workers = [
        f"{node['NodeManagerAddress']}:{port}"
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        # The head of a cluster has a proxy too, and no CPUs: no replica, and no request of the Service.
        if node["Alive"] and node["NodeID"] in status.proxies and node["Resources"].get("CPU")
    ]
    silent = [worker for worker in workers if not _takes_requests(worker)]
    return f"Serve's proxies on {', '.join(silent) or 'every worker'}" if silent or not workers else ""


def _takes_requests(worker: str) -> bool:
    try:
        return httpx.get(f"http://{worker}{HEALTH_PATH}", timeout=ANSWER_TIMEOUT_S).is_success
    except httpx.HTTPError:
        return False
