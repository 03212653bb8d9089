import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app import names
from app.models.registry import Registry
from tests.support.fleet_models import Versions
from tests.support.ray_cluster import SERVE_TOKENS, Cluster
from tests.support.waiting import wait_until


def test_a_load_answers_when_every_replica_serves_the_version(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    answer = cluster.load(versions.second)

    assert answer.status_code == 200, answer.text
    replicas = answer.json()["replicas"]
    assert sorted(replica["replica"] for replica in replicas) == sorted(r["replica_id"] for r in cluster.replicas())
    assert [replica["version"] for replica in replicas] == [versions.second] * 4
    assert all(replica["loaded_in_ms"] > 0 for replica in replicas)
    assert str(registry.find(names.MODEL_NAME, alias="champion").version) == versions.second


def test_no_replica_swaps_when_one_refuses(cluster: Cluster, versions: Versions, registry: Registry) -> None:
    refusing = cluster.replicas()[2]["replica_id"]
    (cluster.folder / f"refuse-{refusing}").touch()

    answer = cluster.load(versions.second)

    assert answer.status_code == 409
    assert refusing in answer.json()["detail"]
    assert "The disk is full." in answer.json()["detail"]
    assert cluster.versions() == [versions.first] * 4
    assert str(registry.find(names.MODEL_NAME, alias="champion").version) == versions.first


def test_a_version_whose_predictions_differ_from_the_recorded_ones_is_refused(
    cluster: Cluster, versions: Versions
) -> None:
    answer = cluster.load(versions.inconsistent)

    assert answer.status_code == 409
    assert "does not predict its input example" in answer.json()["detail"]
    assert cluster.versions() == [versions.first] * 4


def test_one_of_four_concurrent_loads_wins_and_the_others_get_409(cluster: Cluster, versions: Versions) -> None:
    requested = [versions.first, versions.second, versions.pipeline, versions.second]
    barrier = threading.Barrier(len(requested))
    cluster.hold("prepare")

    def ask(version: str) -> httpx.Response:
        barrier.wait()
        return cluster.load(version)

    with ThreadPoolExecutor(len(requested)) as pool:
        loads = [pool.submit(ask, version) for version in requested]
        wait_until(lambda: sum(load.done() for load in loads) >= len(requested) - 1, what="the loads that lose")
        cluster.remove_hooks()
        answers = [load.result() for load in loads]

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    [winner] = [answer.json()["model_info"]["version"] for answer in answers if answer.is_success]
    details = {answer.json()["detail"] for answer in answers if not answer.is_success}
    # If two loads meet on one replica, the loser names the other load. That one may lose to a third load in turn.
    contenders = {f"{names.MODEL_NAME} version {version} is being loaded." for version in requested}
    assert f"{names.MODEL_NAME} version {winner} is being loaded." in details
    assert details <= contenders
    assert cluster.versions() == [winner] * 4


def test_a_replica_killed_between_prepare_and_commit_restarts_with_the_loaded_version(
    cluster: Cluster, versions: Versions
) -> None:
    cluster.hold("promote")

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(cluster.load, versions.second)
        wait_until(lambda: cluster.held_replicas("promote"), what="a load before its commit")
        [coordinator] = cluster.held_replicas("promote")
        cluster.kill(next(r["replica_id"] for r in cluster.replicas() if r["replica_id"] != coordinator))
        cluster.remove_hooks()
        answer = load.result()

    assert answer.status_code == 200, answer.text
    cluster.wait_for_replicas(4)
    assert cluster.versions() == [versions.second] * 4


def test_a_load_whose_replica_is_killed_changes_nothing_and_blocks_no_other_load(
    cluster: Cluster, versions: Versions
) -> None:
    cluster.hold("promote")

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(cluster.load, versions.second)
        wait_until(lambda: cluster.held_replicas("promote"), what="a load before its commit")
        cluster.kill(cluster.held_replicas("promote")[0])
        assert load.result().status_code >= 500
    cluster.remove_hooks()
    cluster.wait_for_replicas(4)

    assert cluster.versions() == [versions.first] * 4
    assert cluster.load(versions.second).status_code == 200
    assert cluster.versions() == [versions.second] * 4


def test_a_load_continues_if_its_client_disconnects(cluster: Cluster, versions: Versions) -> None:
    cluster.hold("promote")

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{cluster.api_url}/model/load",
            json={"version": versions.second},
            headers={"Authorization": f"Bearer {SERVE_TOKENS[0]}"},
            timeout=2,
        )
    wait_until(lambda: cluster.held_replicas("promote"), what="a load before its commit")
    cluster.remove_hooks()

    cluster.wait_for_version(versions.second)


@pytest.mark.parametrize(("token", "status"), [("new-token", 200), ("old-token", 200), ("unknown-token", 401)])
def test_every_listed_token_is_accepted(cluster: Cluster, versions: Versions, token: str, status: int) -> None:
    assert cluster.load(versions.first, token=token).status_code == status


def test_a_version_that_does_not_exist_is_not_found(cluster: Cluster) -> None:
    assert cluster.load("999").status_code == 404
