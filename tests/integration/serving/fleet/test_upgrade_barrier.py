"""What KubeRay waits for before it turns traffic to a new cluster, on Ray's own account of it."""

import time
from typing import Any

from app import names
from app.cli.ports import free_ports
from tests.integration.serving.fleet.conftest import REPLICAS
from tests.support.ray_cluster import Cluster
from tests.support.waiting import wait_until

LONGER_THAN_A_SWITCH_S = 10


def waiting(port: int) -> dict[str, Any]:
    """The application as the stack deploys it."""
    return {
        "name": names.SWITCHOVER,
        "route_prefix": None,
        "import_path": names.SWITCHOVER_IMPORT_PATH,
        "args": {"port": port},
    }


def status(cluster: Cluster) -> str:
    return str(cluster.details().get(names.SWITCHOVER, {}).get("status"))


def replicas(cluster: Cluster) -> list[str]:
    deployments = cluster.details().get(names.SWITCHOVER, {}).get("deployments", {})
    return [replica["state"] for replica in deployments.get(names.SWITCHOVER, {}).get("replicas", [])]


def test_a_cluster_whose_workers_take_requests_is_ready_for_traffic(cluster: Cluster) -> None:
    cluster.scale(REPLICAS, beside=[waiting(cluster.serve_port)])

    wait_until(lambda: status(cluster) == "RUNNING", what="the switch", limit_s=60)
    # It costs nothing from then on.
    wait_until(lambda: replicas(cluster) == [], what="no replica of the switch", limit_s=60)
    assert status(cluster) == "RUNNING"


def test_a_cluster_whose_workers_take_no_requests_is_not_until_they_do(cluster: Cluster) -> None:
    [nobody] = free_ports(1)
    cluster.scale(REPLICAS, beside=[waiting(nobody)])
    wait_until(lambda: replicas(cluster) == ["STARTING"], what="the switch's replica", limit_s=60)

    time.sleep(LONGER_THAN_A_SWITCH_S)
    assert status(cluster) == "DEPLOYING"

    cluster.scale(REPLICAS, beside=[waiting(cluster.serve_port)])
    wait_until(lambda: status(cluster) == "RUNNING", what="the switch", limit_s=60)
