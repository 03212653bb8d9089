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
from tests.support.fleet_models import REQUEST_ROWS, Versions
from tests.support.ray_cluster import WEBHOOK_SECRET, Cluster
from tests.support.waiting import wait_until


def move_alias(registry: Registry, version: str) -> None:
    """Move the alias, as a user does on MLflow's page."""
    registry.promote(registry.find(names.MODEL_NAME, version=version))


def metric(cluster: Cluster, name: str) -> dict[str, float]:
    """The values of a metric from Ray's exporter, by replica."""
    text = httpx.get(f"http://127.0.0.1:{cluster.metrics_port}/metrics", timeout=10).text
    matches = re.findall(rf'^ray_{name}(?:_total)?{{.*?replica="(\w+)".*?}} (\S+)$', text, re.MULTILINE)
    return {replica: float(value) for replica, value in matches}


def test_every_replica_follows_the_alias(cluster: Cluster, versions: Versions, registry: Registry) -> None:
    for version in (versions.second, versions.first):
        move_alias(registry, version)

        cluster.wait_for_version(version)


def test_every_replica_reports_a_refused_champion_and_keeps_its_version(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    move_alias(registry, versions.inconsistent)

    def refusals() -> list[str]:
        return [replica["refused"] or "" for replica in cluster.model()["replicas"]]

    reason = f"version {versions.inconsistent}: Replica "
    wait_until(lambda: all(refusal.startswith(reason) for refusal in refusals()), what="the refusal on each replica")
    assert all("does not predict its input example" in refusal for refusal in refusals())
    assert cluster.versions() == [versions.first] * 4
    wait_until(lambda: len(metric(cluster, "manta_refused_versions")) >= 4, what="the metric of refusals")
    wait_until(lambda: 0.0 in metric(cluster, "manta_champion_served").values(), what="the metric of the champion")
    live = {replica["replica_id"] for replica in cluster.replicas()}

    def served() -> dict[str, float]:
        return {name: value for name, value in metric(cluster, "manta_served_version").items() if name in live}

    # Ray exports a metric some seconds after it was set.
    wait_until(lambda: served() == dict.fromkeys(live, float(versions.first)), what="the metric of the served version")


def test_a_starting_replica_serves_the_version_of_the_fleet_if_the_champion_was_refused(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    move_alias(registry, versions.inconsistent)
    wait_until(lambda: all(r["refused"] for r in cluster.model()["replicas"]), what="the refusal on each replica")

    cluster.kill(cluster.replicas()[0]["replica_id"])
    cluster.wait_for_replicas(4)

    assert cluster.versions() == [versions.first] * 4


def test_the_fleet_serves_while_mlflow_is_stopped_and_follows_the_alias_afterwards(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    cluster.mlflow.stop()
    stopped_at = time.monotonic()
    try:
        wait_until(
            lambda: "MLflow at" in (httpx.get(f"{cluster.api_url}/healthz", timeout=10).json()["trouble"] or ""),
            what="the reason on /healthz",
        )
        assert cluster.load(versions.second).status_code == 502
        cluster.kill(cluster.replicas()[0]["replica_id"])
        cluster.wait_for_replicas(4)
        assert cluster.versions() == [versions.first] * 4
        while time.monotonic() - stopped_at < 30:
            answer = httpx.post(f"{cluster.api_url}/predict", json={"features": REQUEST_ROWS}, timeout=30)
            assert answer.json()["probabilities"] == versions.answers[versions.first]
    finally:
        cluster.start_mlflow()

    move_alias(registry, versions.second)
    cluster.wait_for_version(versions.second)


def test_mlflow_gets_less_than_one_request_a_second(cluster: Cluster) -> None:
    first_count, start_s = count_alias_requests(cluster), time.monotonic()
    wait_until(lambda: count_alias_requests(cluster) >= first_count + 10, what="ten reads of the alias")

    assert (count_alias_requests(cluster) - first_count) / (time.monotonic() - start_s) < 1


def count_alias_requests(cluster: Cluster) -> int:
    return cluster.mlflow.log.read_text().count("registered-models/alias")


def test_a_webhook_that_mlflow_sends_is_accepted(cluster: Cluster) -> None:
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
def test_a_delivery_is_accepted_only_if_it_is_recent_and_signed_with_the_secret(
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
