"""Rollouts and shadows on the running platform, under traffic."""

from collections.abc import Iterator

import httpx
import pytest
from mlflow import MlflowClient

from app import names
from tests.support import rollout_models
from tests.support.local import LocalFolder, RunningPlatform
from tests.support.rollout_models import NAMED, UNKNOWN, Challengers
from tests.support.traffic import PredictionTraffic
from tests.support.waiting import wait_until

RATE = 20.0
"""Requests per second."""


@pytest.fixture(scope="module")
def registry(platform: RunningPlatform, local: LocalFolder) -> MlflowClient:
    assert platform.process.poll() is None
    return MlflowClient(tracking_uri=local.endpoints.mlflow_url)


@pytest.fixture(scope="module")
def challengers(registry: MlflowClient, local: LocalFolder) -> Iterator[Challengers]:
    """Versions of the platform's model. The platform serves its own version again afterwards."""
    champion = aliases(registry)[names.CHAMPION]
    before = {str(version.version) for version in registry.search_model_versions(f"name='{names.MODEL_NAME}'")}
    yield rollout_models.register_in_subprocess(local.endpoints.mlflow_url)
    process = local.run("load", "--version", champion)
    assert process.returncode == 0, process.stderr
    registry.delete_registered_model_alias(names.MODEL_NAME, names.PREVIOUS)
    for version in registry.search_model_versions(f"name='{names.MODEL_NAME}'"):
        if str(version.version) not in before:
            registry.delete_model_version(names.MODEL_NAME, str(version.version))
    registry.delete_registered_model(NAMED)


def aliases(registry: MlflowClient, model: str = names.MODEL_NAME) -> dict[str, str]:
    found = registry.get_registered_model(model).aliases
    return {alias: str(version) for alias, version in found.items()}


def test_a_shadow_answers_copies_and_its_figures_are_in_its_run(
    api: httpx.Client, local: LocalFolder, registry: MlflowClient, challengers: Challengers
) -> None:
    version, champion = challengers.good, aliases(registry)[names.CHAMPION]

    with PredictionTraffic(f"{api.base_url}predict", {"features": [UNKNOWN]}, rate=RATE, timeout_s=30) as traffic:
        begun = local.run("shadow", version)
        assert begun.returncode == 0, begun.stdout + begun.stderr
        wait_until(lambda: shadow_rows(api) >= RATE, what="copies", timeout_s=60)
        shown = local.run("shadow").stdout
        ended = local.run("shadow", "--end")

    assert traffic.failures == {}
    assert f"version {version} answers copies of 100 % of the requests" in shown
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert aliases(registry) == {names.CHAMPION: champion}
    run_id = str(registry.get_model_version(names.MODEL_NAME, version).run_id)
    assert registry.get_run(run_id).data.metrics["shadow.rows"] >= RATE
    (folder,) = registry.list_artifacts(run_id, "shadow")
    assert f"against-{champion}-" in folder.path
    files = {artifact.path.rpartition("/")[2] for artifact in registry.list_artifacts(run_id, folder.path)}
    assert "comparison.json" in files


def shadow_rows(api: httpx.Client) -> int:
    figures = api.get("/model/shadow").json()["figures"]
    return 0 if figures is None else int(figures["rows"])


def test_a_model_by_its_name_is_rolled_out_and_no_client_notices(
    api: httpx.Client, local: LocalFolder, registry: MlflowClient, challengers: Challengers
) -> None:
    first, second = challengers.named
    served = local.run("serve", NAMED, "--version", first)
    assert served.returncode == 0, served.stdout + served.stderr
    options = ("--name", NAMED, "--steps", "50", "--min-rows", "20", "--min-seconds", "1")
    path = f"models/{NAMED}"

    with PredictionTraffic(
        f"{api.base_url}{path}/predict", {"features": [UNKNOWN]}, rate=RATE, timeout_s=30
    ) as traffic:
        begun = local.run("rollout", "start", second, *options)
        assert begun.returncode == 0, begun.stdout + begun.stderr
        wait_until(lambda: api.get(f"{path}/rollout").json()["rollout"]["is_closed"], what="the end", timeout_s=60)

    stopped = local.run("serve", NAMED, "--stop")
    assert traffic.failures == {}
    assert aliases(registry, NAMED) == {names.CHAMPION: second, names.PREVIOUS: first}
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


def test_a_version_that_answers_wrongly_goes_back_when_the_labels_come(
    api: httpx.Client, local: LocalFolder, registry: MlflowClient, challengers: Challengers
) -> None:
    version, champion = challengers.good, aliases(registry)[names.CHAMPION]
    options = ("--steps", "50", "--min-rows", "1000", "--min-seconds", "60")
    process = local.run("rollout", "start", version, *options)
    assert process.returncode == 0, process.stdout + process.stderr

    def label_some_requests() -> bool:
        labels = []
        for _ in range(10):
            answer = api.post("/predict", json={"features": [UNKNOWN]})
            is_right = answer.json()["model_version"] == champion
            label = answer.json()["predictions"][0] if is_right else "another class"
            labels.append({"request_id": answer.headers["x-request-id"], "label": label})
        assert api.post("/feedback", json={"labels": labels}).json() == {"stored": 10}
        return bool(api.get("/model/rollout").json()["rollout"]["is_closed"])

    wait_until(label_some_requests, what="the end", timeout_s=150)

    rollout = api.get("/model/rollout").json()["rollout"]
    assert (rollout["verdict"], rollout["version"]) == ("rolled back", version)
    assert rollout["reason"].startswith("wrong answers")
    assert aliases(registry) == {names.CHAMPION: champion}


@pytest.mark.parametrize(
    ("kind", "steps", "rows", "verdict"),
    [
        ("raising", "20,50", "200", "rolled back"),
        ("slow", "50", "1000", "rolled back"),
        ("good", "20,50", "20", "promoted"),
    ],
)
def test_a_rollout_ends_as_its_version_deserves_and_no_client_notices(
    kind: str,
    steps: str,
    rows: str,
    verdict: str,
    api: httpx.Client,
    local: LocalFolder,
    registry: MlflowClient,
    challengers: Challengers,
) -> None:
    version, champion = getattr(challengers, kind), aliases(registry)[names.CHAMPION]
    options = ("--steps", steps, "--min-rows", rows, "--min-seconds", "1")

    with PredictionTraffic(f"{api.base_url}predict", {"features": [UNKNOWN]}, rate=RATE, timeout_s=30) as traffic:
        process = local.run("rollout", "start", version, *options)
        assert process.returncode == 0, process.stdout + process.stderr
        wait_until(lambda: api.get("/model/rollout").json()["rollout"]["is_closed"], what="the end", timeout_s=150)

    status = local.run("rollout", "status").stdout
    assert f"version {version} against champion {champion}: {verdict}" in status.replace("\n", " ")
    assert traffic.failures == {}
    moved = {names.CHAMPION: version, names.PREVIOUS: champion} if verdict == "promoted" else {names.CHAMPION: champion}
    assert aliases(registry) == moved
    assert registry.get_model_version(names.MODEL_NAME, version).tags["rollout.verdict"] == verdict
