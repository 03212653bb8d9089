"""The upgrade barrier: a Serve application that delays an upgrade until the new workers take requests.

KubeRay moves its Service to a new Ray cluster as soon as every Serve application there is RUNNING. At that moment the
proxies may not yet send requests to the model's replicas, and Kubernetes may not yet list the new workers as endpoints.
The Service would have no endpoint and refuse clients. The start of this application's one replica lasts until the
workers take requests. Serve removes the replica afterwards, and the application stays RUNNING.
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
"""How long all workers must take requests without interruption. Kubernetes probes them every second and updates its
endpoints within another second."""
POLL_INTERVAL_S: Final = 0.5
"""Pause between two checks of the workers."""
LOG_INTERVAL_S: Final = 10.0
"""Shortest time between two log lines that say what the upgrade waits for."""
HEALTH_PATH: Final = "/-/healthz"
"""Health check of a Serve proxy. It succeeds if the proxy has a replica to send requests to."""
HEALTH_TIMEOUT_S: Final = 2.0
REPLICA_RESOURCES: Final = ("CPU", names.REPLICA_RESOURCE)
"""What a replica takes of a worker: CPUs, or its own resource where other workers run the jobs."""

log = logging.getLogger(names.SERVING_LOG)


class UpgradeBarrierArgs(BaseModel):
    """Arguments of the application, from `args` of the Serve config."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(ge=1, le=65535, description="Port of Serve's HTTP proxies.")


class UpgradeBarrier:
    """A deployment whose constructor returns once the workers take requests. `pulumi up` limits the wait."""

    def __init__(self, args: UpgradeBarrierArgs) -> None:
        ready_since = logged_at = time.monotonic()
        while time.monotonic() - ready_since < SETTLE_S:
            time.sleep(POLL_INTERVAL_S)
            if reason := _reason_to_wait(args.port):
                ready_since = time.monotonic()
                if ready_since - logged_at > LOG_INTERVAL_S:
                    log.info("The upgrade waits for %s.", reason)
                    logged_at = ready_since


def build(args: UpgradeBarrierArgs) -> serve.Application:
    """Build the Serve application from the arguments of its config."""
    deployment = serve.deployment(
        name=names.UPGRADE_BARRIER,
        ray_actor_options={"num_cpus": 0},
        # The replica gets no requests, so Serve's autoscaler removes it once it runs.
        autoscaling_config={"initial_replicas": 1, "min_replicas": 0, "max_replicas": 1, "downscale_delay_s": 0},
    )
    application: serve.Application = deployment(UpgradeBarrier).bind(args)
    return application


def _reason_to_wait(port: int) -> str:
    """The part of the platform that is not ready yet; empty if every worker takes requests."""
    status = serve.status()
    model = status.applications.get(names.APPLICATION)
    if model is None or model.status != ApplicationStatus.RUNNING:
        return f"the application {names.APPLICATION}, which is {model.status if model else 'not deployed'}"
    workers = [
        f"{node['NodeManagerAddress']}:{port}"
        for node in ray.nodes()  # type: ignore[no-untyped-call] # Ray's API has no types
        # The head has a proxy too. It has nothing that a replica takes, so it is no endpoint of the Service.
        if node["Alive"] and node["NodeID"] in status.proxies and any(map(node["Resources"].get, REPLICA_RESOURCES))
    ]
    unready = [worker for worker in workers if not _takes_requests(worker)]
    return f"Serve's proxies on {', '.join(unready) or 'every worker'}" if unready or not workers else ""


def _takes_requests(worker: str) -> bool:
    try:
        return httpx.get(f"http://{worker}{HEALTH_PATH}", timeout=HEALTH_TIMEOUT_S).is_success
    except httpx.HTTPError:
        return False
