"""A platform with two replicas, an honest client that never stops, and the table of all hostile cases."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from app import names
from app.serving.requests.limits import MAX_BODY_BYTES
from tests.support.hostile import json_bodies, npy_bodies
from tests.support.hostile.exchange import Target, send_at_once
from tests.support.hostile.honest_client import HonestClient
from tests.support.hostile.observation import HEADINGS, Case, Observer, Pids
from tests.support.hostile.registered import BaseModels, ModelStore
from tests.support.ray_cluster import Cluster, create_cluster
from tests.support.waiting import wait_until

REPLICAS: Final = 2
PROCESS_MEMORY_BYTES: Final = 2 * 1024**3
"""Limit for the private memory of each process of Ray. It stands for the small memory of a worker."""
LOAD_TIMEOUT_S: Final = 30
"""Deadline of a load on one replica."""
WARM_UPS: Final = 12
"""How often valid bodies of the maximal size are sent before the first case."""
WARM_UP_TIMEOUT_S: Final = 60
CASES: Final = pytest.StashKey[list[Case]]()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Folder of the platform's state, with a short path."""
    with tempfile.TemporaryDirectory(prefix="ho", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def stopped_cluster(folder: Path) -> Iterator[Cluster]:
    cluster = create_cluster(folder)
    if prlimit := shutil.which("prlimit"):
        cluster.ray.argv[:0] = [prlimit, f"--data={PROCESS_MEMORY_BYTES}"]
    try:
        yield cluster
    finally:
        cluster.ray.stop()
        cluster.mlflow.stop()


@pytest.fixture(scope="session")
def store(stopped_cluster: Cluster, folder: Path) -> ModelStore:
    """A running MLflow. Ray starts at the same time."""
    stopped_cluster.start_ray()
    stopped_cluster.start_mlflow()
    return ModelStore(url=stopped_cluster.mlflow_url, artifacts=folder / "files")


@pytest.fixture(scope="session")
def base_models(store: ModelStore) -> BaseModels:
    """The models whose files the tests edit."""
    return store.log_models()


@pytest.fixture(scope="session")
def champion(store: ModelStore, base_models: BaseModels) -> str:
    """Number of the version that serves."""
    version = store.register(base_models.champion_uri)
    store.move_alias(version)
    return version


@pytest.fixture(scope="session")
def cluster(stopped_cluster: Cluster, champion: str) -> Cluster:
    """The platform, with all replicas on the champion."""
    stopped_cluster.scale(
        REPLICAS, settings={"import_path": names.IMPORT_PATH, "args": {"load_timeout_s": LOAD_TIMEOUT_S}}
    )
    stopped_cluster.wait_for_replicas(REPLICAS)
    wait_until(lambda: stopped_cluster.load(champion).is_success, what="the champion on every replica")
    return stopped_cluster


@pytest.fixture(scope="session")
def target(cluster: Cluster) -> Target:
    return Target.of(cluster.api_url)


@pytest.fixture(scope="session")
def honest_client(cluster: Cluster, champion: str, base_models: BaseModels, folder: Path) -> Iterator[HonestClient]:
    message = {"features": base_models.rows}
    expected = {champion: {"probabilities": base_models.probabilities}}
    with HonestClient(cluster.api_url, message, expected, folder / "honest.jsonl") as client:
        yield client


@pytest.fixture(scope="session")
def session_observer(
    cluster: Cluster, target: Target, honest_client: HonestClient, pytestconfig: pytest.Config
) -> Observer:
    """Observes all cases. Each replica has answered valid bodies of the maximal size before."""

    def find_replicas() -> Pids:
        return {replica["replica_id"]: replica["pid"] for replica in cluster.replicas()}

    observer = Observer(find_replicas, honest_client, pytestconfig.stash.setdefault(CASES, []))
    for body in (npy_bodies.LARGEST, *[json_bodies.LARGEST] * WARM_UPS):
        asyncio.run(send_at_once(target, body, [MAX_BODY_BYTES], times=2 * REPLICAS, timeout_s=WARM_UP_TIMEOUT_S))
        observer.record_baseline()
    return observer


@pytest.fixture
def observer(cluster: Cluster, champion: str, session_observer: Observer) -> Observer:
    """Observes the cases of a test. All replicas serve the champion when the test starts."""
    cluster.wait_for_replicas(REPLICAS)
    wait_until(
        lambda: cluster.versions() == [champion] * REPLICAS or cluster.load(champion).is_success,
        what="the champion on every replica",
    )
    return session_observer


@pytest.fixture
def assert_unharmed() -> Callable[[Case], None]:
    """Returns a function that checks what every case must leave as it was."""

    def check(case: Case) -> None:
        assert case.honest.failures == {}, case.honest
        assert case.honest.sent > 0
        assert case.pids_after == case.pids_before, "a replica was lost"
        assert case.has_memory_back, f"memory before {case.memory_before_mb} MB, after {case.memory_after_mb} MB"

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of all cases."""
    if cases := terminalreporter.config.stash.get(CASES, []):
        terminalreporter.section("hostile cases")
        for row in (HEADINGS, *(case.row() for case in cases)):
            terminalreporter.write_line(" | ".join(row))
