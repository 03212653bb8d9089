import base64
import hashlib
import hmac
import re
import time

import httpx
import mlflow
import pytest
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

from app import names
from app.models.registry import Registry
from tests.support.fleet_models import SENT, Versions
from tests.support.ray_cluster import WEBHOOK_SECRET, Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # the first test waits for the cluster to start


def point(registry: Registry, version: str) -> None:
    """Move the alias as somebody does in MLflow's page."""
    registry.promote(registry.find(names.MODEL_NAME, version=version))


def measured(cluster: Cluster, name: str) -> dict[str, float]:
    """What Ray's exporter says of a measure, by replica."""
    text = httpx.get(f"http://127.0.0.1:{cluster.metrics_port}/metrics", timeout=10).text
    found = re.findall(rf'^ray_{name}(?:_total)?{{.*?replica="(\w+)".*?}} (\S+)$', text, re.MULTILINE)
    return {replica: float(value) for replica, value in found}


def test_moving_the_alias_moves_every_replica_and_back(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    for version in (versions.second, versions.first):
        point(registry, version)

        cluster.wait_for(version)


def test_a_refused_champion_leaves_the_fleet_where_it_is_and_is_named(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    point(registry, versions.wrong)

    def refusals() -> list[str]:
        return [replica["refused"] or "" for replica in cluster.model()["replicas"]]

    reason = f"version {versions.wrong}: Replica "
    wait_until(lambda: all(refusal.startswith(reason) for refusal in refusals()), what="the refusal on each replica")
    assert all("does not predict its input example" in refusal for refusal in refusals())
    assert cluster.versions() == [versions.first] * 4
    wait_until(lambda: len(measured(cluster, "manta_refused_versions")) >= 4, what="the refusal's measure")
    live = {replica["replica_id"] for replica in cluster.replicas()}

    def served() -> dict[str, float]:
        return {name: value for name, value in measured(cluster, "manta_served_version").items() if name in live}

    # Ray exports a measure some seconds after it was set.
    wait_until(lambda: served() == dict.fromkeys(live, float(versions.first)), what="the served version's measure")


def test_a_replica_that_starts_beside_a_refused_champion_serves_what_the_fleet_serves(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    point(registry, versions.wrong)
    wait_until(lambda: all(r["refused"] for r in cluster.model()["replicas"]), what="the refusal on each replica")

    cluster.kill(cluster.replicas()[0]["replica_id"])
    cluster.settle(4)

    assert cluster.versions() == [versions.first] * 4


def test_the_fleet_serves_while_mlflow_is_stopped_and_follows_again_afterwards(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    cluster.mlflow.stop()
    stopped = time.monotonic()
    try:
        wait_until(
            lambda: "MLflow at" in (httpx.get(f"{cluster.api_url}/healthz", timeout=10).json()["trouble"] or ""),
            what="the reason on /healthz",
        )
        assert cluster.load(versions.second).status_code == 502
        cluster.kill(cluster.replicas()[0]["replica_id"])
        while time.monotonic() - stopped < 30:
            answer = httpx.post(f"{cluster.api_url}/predict", json={"features": SENT}, timeout=30)
            assert answer.json()["probabilities"] == versions.answers[versions.first]
        assert [replica["state"] for replica in cluster.replicas()].count("STARTING") == 1
    finally:
        cluster.start_mlflow()
    cluster.settle(4)

    point(registry, versions.second)
    cluster.wait_for(versions.second)


def test_mlflow_gets_less_than_one_request_a_second(cluster: Cluster) -> None:
    before = requests_seen(cluster)
    started = time.monotonic()
    wait_until(lambda: requests_seen(cluster) >= before + 4, what="looks at the alias")

    assert (requests_seen(cluster) - before) / (time.monotonic() - started) < 1


def requests_seen(cluster: Cluster) -> int:
    return cluster.mlflow.log.read_text().count("registered-models/alias")


def test_mlflow_itself_signs_its_deliveries_so_that_they_are_accepted(cluster: Cluster) -> None:
    client = mlflow.MlflowClient(cluster.mlflow_url, cluster.mlflow_url)
    webhook = client.create_webhook(
        name="fleet",
        url=f"{cluster.api_url}/model/webhook",
        events=[WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)],
        secret=WEBHOOK_SECRET,
    )

    result = client.test_webhook(webhook.webhook_id)

    client.delete_webhook(webhook.webhook_id)
    assert (result.success, result.response_status) == (True, 202), result


@pytest.mark.parametrize(
    ("secret", "age_s", "status"),
    [(WEBHOOK_SECRET, 0, 202), ("another", 0, 401), (WEBHOOK_SECRET, 3600, 401), (WEBHOOK_SECRET, -3600, 401)],
)
def test_a_delivery_is_accepted_only_with_the_secret_and_fresh(
    cluster: Cluster, secret: str, age_s: int, status: int
) -> None:
    body = b'{"entity": "model_version_alias", "action": "created"}'
    sent_at = str(int(time.time()) - age_s)
    digest = hmac.new(secret.encode(), f"id.{sent_at}.".encode() + body, hashlib.sha256).digest()

    answer = httpx.post(
        f"{cluster.api_url}/model/webhook",
        content=body,
        headers={
            "Content-Type": "application/json",
            "X-MLflow-Delivery-Id": "id",
            "X-MLflow-Timestamp": sent_at,
            "X-MLflow-Signature": f"v1,{base64.b64encode(digest).decode()}",
        },
        timeout=30,
    )

    assert answer.status_code == status
