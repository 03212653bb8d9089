"""One MLflow server and one Ray cluster for all tests of the fleet. Each test starts with four replicas on `first`."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import names
from app.models.registry import Registry
from app.settings import Settings
from tests.support import fleet_models
from tests.support.fleet_models import Versions
from tests.support.ray_cluster import Cluster, create_cluster
from tests.support.waiting import wait_until

REPLICAS = 4


@pytest.fixture(scope="package")
def stopped_cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="fl", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = create_cluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.ray.stop()
            cluster.mlflow.stop()


@pytest.fixture(scope="package")
def versions(stopped_cluster: Cluster) -> Versions:
    stopped_cluster.start_ray()
    stopped_cluster.start_mlflow()
    return fleet_models.register_in_subprocess(stopped_cluster.mlflow_url)


@pytest.fixture(scope="package")
def registry(stopped_cluster: Cluster) -> Registry:
    return Registry(Settings(mlflow_tracking_uri=stopped_cluster.mlflow_url))


@pytest.fixture(scope="package")
def started_cluster(stopped_cluster: Cluster, versions: Versions, registry: Registry) -> Cluster:
    registry.promote(registry.find(names.MODEL_NAME, version=versions.first))
    return stopped_cluster


@pytest.fixture
def cluster(started_cluster: Cluster, versions: Versions) -> Iterator[Cluster]:
    started_cluster.remove_hooks()
    started_cluster.scale(REPLICAS)
    started_cluster.wait_for_replicas(REPLICAS)
    wait_until(lambda: started_cluster.load(versions.first).is_success, what="the first version everywhere")
    yield started_cluster
    started_cluster.remove_hooks()
