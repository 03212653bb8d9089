"""Many models behind one service: their memory, their champions, a broken one and a killed replica."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from mlflow import MlflowClient

from app import names
from app.models.served_models import SERVE_TAG
from tests.support import many_models
from tests.support.fleet_models import REQUEST_ROWS
from tests.support.json_object import JsonObject
from tests.support.many_models import BROKEN, LARGE, ManyModels
from tests.support.ray_cluster import MODELS_MEMORY, SERVE_TOKENS, Cluster
from tests.support.waiting import wait_for, wait_until

COUNT = 16
"""Number of models, more than fit the memory of a replica."""


@pytest.fixture(scope="module")
def registered(started_cluster: Cluster) -> ManyModels:
    return many_models.register_in_subprocess(started_cluster.mlflow_url, COUNT)


@pytest.fixture
def models(cluster: Cluster, registered: ManyModels) -> Iterator[ManyModels]:
    """The models, once every replica knows them. All tags and champions are restored afterwards."""
    yield_names = {*registered.answers, BROKEN, LARGE}
    wait_until(lambda: yield_names <= summaries(cluster).keys(), what="the models")
    yield registered
    registry = client_of(cluster)
    for name in registered.answers:
        registry.set_registered_model_alias(name, names.CHAMPION, "1")
        registry.set_registered_model_tag(name, SERVE_TAG, "true")


def client_of(cluster: Cluster) -> MlflowClient:
    return MlflowClient(tracking_uri=cluster.mlflow_url, registry_uri=cluster.mlflow_url)


def summaries(cluster: Cluster) -> dict[str, JsonObject]:
    content = httpx.get(f"{cluster.api_url}/models", timeout=30).raise_for_status().json()
    return {model["name"]: model for model in content["models"]}


def predict(cluster: Cluster, name: str) -> httpx.Response:
    """Ask for predictions, as a client that repeats a request if the model is being loaded."""
    url, message = f"{cluster.api_url}/models/{name}/predict", {"features": REQUEST_ROWS}

    def answer() -> httpx.Response | None:
        response = httpx.post(url, json=message, timeout=60)
        return None if "retry-after" in response.headers else response

    return wait_for(f"an answer of {name}", answer, timeout_s=300, interval_s=0.2)


def probabilities(cluster: Cluster, name: str) -> list[list[float]]:
    answer = predict(cluster, name)
    assert answer.status_code == 200, answer.text
    content: list[list[float]] = answer.json()["probabilities"]
    return content


def test_more_models_than_fit_the_memory_all_answer_exactly_and_stay_within_it(
    cluster: Cluster, models: ManyModels
) -> None:
    requests = list(models.answers) * 4
    with ThreadPoolExecutor(4) as senders:
        answers = list(senders.map(lambda name: probabilities(cluster, name), requests))

    assert answers == [models.answers[name][0] for name in requests]
    held = [model for model in summaries(cluster).values() if not model["is_default"]]
    replicas = len(cluster.replicas())
    assert 0 < sum(model["size_bytes"] for model in held) <= replicas * MODELS_MEMORY
    assert sum(model["replicas"] for model in held) < replicas * COUNT
    assert sum(model["requests"] for model in held) >= len(requests)


def test_a_new_champion_changes_its_model_alone_and_on_every_replica(cluster: Cluster, models: ManyModels) -> None:
    first, second = list(models.answers)[:2]
    for name in [first, second] * 8:
        probabilities(cluster, name)

    client_of(cluster).set_registered_model_alias(first, names.CHAMPION, "2")

    wait_until(lambda: summaries(cluster)[first]["version"] == "2", what="the new champion")
    assert [probabilities(cluster, first) for _ in range(12)] == [models.answers[first][1]] * 12
    assert [probabilities(cluster, second) for _ in range(4)] == [models.answers[second][0]] * 4


def test_a_load_by_name_warms_the_model_everywhere(cluster: Cluster, models: ManyModels) -> None:
    name = list(models.answers)[-1]
    headers = {"Authorization": f"Bearer {SERVE_TOKENS[0]}"}

    answer = httpx.post(f"{cluster.api_url}/models/{name}/load", json={"version": "2"}, headers=headers, timeout=600)

    assert answer.status_code == 200, answer.text
    assert [replica["version"] for replica in answer.json()["replicas"]] == ["2"] * len(cluster.replicas())
    assert str(client_of(cluster).get_model_version_by_alias(name, names.CHAMPION).version) == "2"
    assert probabilities(cluster, name) == models.answers[name][1]


def test_a_broken_and_a_too_large_model_are_refused_and_harm_no_other(cluster: Cluster, models: ManyModels) -> None:
    name = next(iter(models.answers))

    refusals = {refused: predict(cluster, refused) for refused in (BROKEN, LARGE)}

    assert {answer.status_code for answer in refusals.values()} == {409}
    assert "does not predict its input example" in refusals[BROKEN].json()["detail"]
    assert "MiB of memory, but this replica has 0.1 MiB" in refusals[LARGE].json()["detail"]
    assert probabilities(cluster, name) == models.answers[name][0]
    assert cluster.model()["model_loaded"]


def test_a_named_version_answers_beside_the_champion(cluster: Cluster, models: ManyModels) -> None:
    name = next(iter(models.answers))
    tensor = {"name": "rows", "shape": [3, 3], "datatype": "FP64", "data": REQUEST_ROWS}

    answers = [
        httpx.post(f"{cluster.api_url}/v2/models/{name}{version}/infer", json={"inputs": [tensor]}, timeout=60).json()
        for version in ("", "/versions/2")
    ]

    assert [answer["model_version"] for answer in answers] == ["1", "2"]
    expected = [[value for row in rows for value in row] for rows in models.answers[name]]
    assert [answer["outputs"][1]["data"] for answer in answers] == expected
    assert str(client_of(cluster).get_model_version_by_alias(name, names.CHAMPION).version) == "1"
    missing = httpx.post(f"{cluster.api_url}/v2/models/{name}/versions/99/infer", json={"inputs": [tensor]}, timeout=60)
    assert (missing.status_code, list(missing.json())) == (404, ["error"])


def test_a_model_that_loses_its_tag_is_not_served_any_more(cluster: Cluster, models: ManyModels) -> None:
    name = list(models.answers)[3]
    assert probabilities(cluster, name)

    client_of(cluster).delete_registered_model_tag(name, SERVE_TAG)

    wait_until(lambda: predict(cluster, name).status_code == 404, what="the end of the model")


def test_the_models_survive_a_killed_replica(cluster: Cluster, models: ManyModels) -> None:
    chosen = list(models.answers)[:4]
    for name in chosen:
        probabilities(cluster, name)

    cluster.kill(cluster.replicas()[0]["replica_id"])

    cluster.wait_for_replicas(4)
    assert [probabilities(cluster, name) for name in chosen * 3] == [models.answers[name][0] for name in chosen * 3]
