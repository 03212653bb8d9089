import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app import names
from app.models.registry import Registry
from tests.support.fleet_models import Versions
from tests.support.ray_cluster import SERVE_TOKENS, Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # the first test waits for the cluster to start


def test_a_load_answers_when_every_replica_serves_the_version(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    answer = cluster.load(versions.second)

    assert answer.status_code == 200, answer.text
    listed = answer.json()["replicas"]
    assert sorted(replica["replica"] for replica in listed) == sorted(r["replica_id"] for r in cluster.replicas())
    assert [replica["version"] for replica in listed] == [versions.second] * 4
    assert all(replica["loaded_in_ms"] > 0 for replica in listed)
    assert str(registry.find(names.MODEL_NAME, alias="champion").version) == versions.second


def test_no_replica_swaps_when_one_refuses(cluster: Cluster, versions: Versions, registry: Registry) -> None:
    unwilling = cluster.replicas()[2]["replica_id"]
    (cluster.folder / f"refuse-{unwilling}").touch()

    answer = cluster.load(versions.second)

    assert answer.status_code == 409
    assert unwilling in answer.json()["detail"]
    assert "The disk is full." in answer.json()["detail"]
    assert cluster.versions() == [versions.first] * 4
    assert str(registry.find(names.MODEL_NAME, alias="champion").version) == versions.first


def test_a_version_with_other_answers_than_recorded_is_refused(cluster: Cluster, versions: Versions) -> None:
    answer = cluster.load(versions.wrong)

    assert answer.status_code == 409
    assert "does not predict its input example" in answer.json()["detail"]
    assert cluster.versions() == [versions.first] * 4


def test_of_two_loads_at_once_one_wins_and_the_other_is_told(cluster: Cluster, versions: Versions) -> None:
    wanted = [versions.first, versions.second, versions.pipeline, versions.second]
    together = threading.Barrier(len(wanted))
    cluster.hold("fetch")

    def ask(version: str) -> httpx.Response:
        together.wait()
        return cluster.load(version)

    with ThreadPoolExecutor(len(wanted)) as pool:
        asked = [pool.submit(ask, version) for version in wanted]
        wait_until(lambda: sum(load.done() for load in asked) >= len(wanted) - 1, what="the loads that lose")
        cluster.let_go()
        answers = [load.result() for load in asked]

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    [won] = [answer.json()["model_info"]["version"] for answer in answers if answer.is_success]
    told = {answer.json()["detail"] for answer in answers if not answer.is_success}
    # A load that meets another on its own replica is told of that one, which may lose to a third in turn.
    contenders = {f"{names.MODEL_NAME} version {version} is being loaded." for version in wanted}
    assert f"{names.MODEL_NAME} version {won} is being loaded." in told
    assert told <= contenders
    assert cluster.versions() == [won] * 4


def test_a_replica_killed_between_prepare_and_commit_comes_back_with_the_version(
    cluster: Cluster, versions: Versions
) -> None:
    cluster.hold("promote")

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(cluster.load, versions.second)
        wait_until(lambda: cluster.held("promote"), what="a load before its commit")
        [coordinator] = cluster.held("promote")
        cluster.kill(next(r["replica_id"] for r in cluster.replicas() if r["replica_id"] != coordinator))
        cluster.let_go()
        answer = load.result()

    assert answer.status_code == 200, answer.text
    cluster.settle(4)
    assert cluster.versions() == [versions.second] * 4


def test_a_load_whose_replica_is_killed_changes_nothing_and_blocks_nobody(cluster: Cluster, versions: Versions) -> None:
    cluster.hold("promote")

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(cluster.load, versions.second)
        wait_until(lambda: cluster.held("promote"), what="a load before its commit")
        cluster.kill(cluster.held("promote")[0])
        assert load.result().status_code >= 500
    cluster.let_go()
    cluster.settle(4)

    assert cluster.versions() == [versions.first] * 4
    assert cluster.load(versions.second).status_code == 200
    assert cluster.versions() == [versions.second] * 4


def test_a_client_that_hangs_up_does_not_stop_its_load(cluster: Cluster, versions: Versions) -> None:
    cluster.hold("promote")

    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{cluster.api_url}/model/load",
            json={"version": versions.second},
            headers={"Authorization": f"Bearer {SERVE_TOKENS[0]}"},
            timeout=2,
        )
    wait_until(lambda: cluster.held("promote"), what="a load before its commit")
    cluster.let_go()

    cluster.wait_for(versions.second)


@pytest.mark.parametrize(("token", "status"), [("new-token", 200), ("old-token", 200), ("other", 401)])
def test_the_old_and_the_new_token_are_accepted_while_both_are_listed(
    cluster: Cluster, versions: Versions, token: str, status: int
) -> None:
    assert cluster.load(versions.first, token=token).status_code == status


def test_a_version_that_does_not_exist_is_not_found(cluster: Cluster) -> None:
    assert cluster.load("999").status_code == 404
