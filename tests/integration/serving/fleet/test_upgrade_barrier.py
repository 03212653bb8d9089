"""The upgrade barrier on a real Ray cluster: when Serve reports its application as RUNNING."""

import time

from app import names
from app.cli.ports import free_ports
from tests.integration.serving.fleet.conftest import REPLICAS
from tests.support.json_object import JsonObject
from tests.support.ray_cluster import Cluster
from tests.support.waiting import wait_until

LONGER_THAN_SETTLE_S = 10


def barrier(port: int) -> JsonObject:
    """The barrier's application in the Serve config, as the stack deploys it."""
    return {
        "name": names.UPGRADE_BARRIER,
        "route_prefix": None,
        "import_path": names.UPGRADE_BARRIER_IMPORT_PATH,
        "args": {"port": port},
    }


def status(cluster: Cluster) -> str:
    return str(cluster.applications().get(names.UPGRADE_BARRIER, {}).get("status"))


def replica_states(cluster: Cluster) -> list[str]:
    deployments = cluster.applications().get(names.UPGRADE_BARRIER, {}).get("deployments", {})
    return [replica["state"] for replica in deployments.get(names.UPGRADE_BARRIER, {}).get("replicas", [])]


def test_the_barrier_runs_and_drops_its_replica_once_the_workers_take_requests(cluster: Cluster) -> None:
    cluster.scale(REPLICAS, other_applications=[barrier(cluster.serve_port)])

    wait_until(lambda: status(cluster) == "RUNNING", what="the upgrade barrier", timeout_s=300)
    wait_until(lambda: replica_states(cluster) == [], what="the end of the barrier's replica", timeout_s=300)
    assert status(cluster) == "RUNNING"


def test_the_barrier_keeps_deploying_until_the_workers_take_requests(cluster: Cluster) -> None:
    [unused_port] = free_ports(1)
    cluster.scale(REPLICAS, other_applications=[barrier(unused_port)])
    wait_until(lambda: replica_states(cluster) == ["STARTING"], what="the barrier's replica", timeout_s=300)

    time.sleep(LONGER_THAN_SETTLE_S)
    assert status(cluster) == "DEPLOYING"

    cluster.scale(REPLICAS, other_applications=[barrier(cluster.serve_port)])
    wait_until(lambda: status(cluster) == "RUNNING", what="the upgrade barrier", timeout_s=300)
