"""A running platform from a request to the prediction log in MLflow, its labels, and `manta drift`."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path

import httpx
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_breast_cancer

from app.records.mlflow_store import MlflowStore
from app.settings import Settings
from tests.support.json_object import JsonObject
from tests.support.local import START_TIMEOUT_S, LocalFolder, RunningPlatform, clean_environment
from tests.support.waiting import wait_for

ROWS = 3


def test_what_the_service_answers_is_in_mlflow(api: httpx.Client, local: LocalFolder, tmp_path: Path) -> None:
    start = datetime.now(UTC) - timedelta(minutes=1)
    rows = api.get("/model").json()["example"]["features"][:ROWS]

    answers = [api.post("/predict", json={"features": rows}) for _ in range(2)]
    named = api.post("/predict", json={"features": rows}, headers={"X-Request-Id": "named by the client"})

    ids = [answer.headers["x-request-id"] for answer in [*answers, named]]
    assert len(set(ids)) == 3
    assert ids[2] == "named by the client"
    store = MlflowStore(Settings(mlflow_tracking_uri=local.endpoints.mlflow_url))

    def logged() -> list[dict[str, object]]:
        files = store.files("predictions", since=start)
        rows = [row for file in files for row in store.read(file, tmp_path).to_pylist() if row["request_id"] in ids]
        return rows if len(rows) == 3 * ROWS else []

    logged_rows = wait_for("the prediction log", logged, timeout_s=120)
    last = sorted((row for row in logged_rows if row["request_id"] == ids[2]), key=itemgetter("row"))
    assert [row["prediction"] for row in last] == named.json()["predictions"]
    assert [row["version"] for row in last] == [named.json()["model_version"]] * ROWS
    assert [[value for name, value in row.items() if name.startswith("feature.")] for row in last] == rows


@pytest.fixture(scope="module")
def drifting(platform: RunningPlatform, local: LocalFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served model of its own. Its log holds 200 rows that have shifted, with their labels."""
    assert platform.process.poll() is None, platform.output
    name = "drifting"
    trained = local.run("train", "--name", name, "--trees", "20")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    served = local.run("serve", name)
    assert served.returncode == 0, served.stderr
    data = load_breast_cancer(as_frame=True)
    rows = data.data.head(200)
    shifted = (rows + 2 * rows.std()).to_dict("records")
    url = f"{local.endpoints.api_url}/models/{name}/predict"
    answer = httpx.post(url, json={"rows": shifted}, headers=local.endpoints.serve_headers, timeout=60)
    assert answer.status_code == 200, answer.text
    file = tmp_path_factory.mktemp("feedback") / "labels.csv"
    labels = data.target_names[data.target.head(200)]
    pd.DataFrame({"request_id": answer.headers["x-request-id"], "row": range(200), "label": labels}).to_csv(file)

    sent = local.run("feedback", str(file))
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.strip() == "200 labels were stored."

    store = MlflowStore(Settings(mlflow_tracking_uri=local.endpoints.mlflow_url))
    start = datetime.now(UTC) - timedelta(hours=1)
    wait_for(
        "the rows in the log",
        lambda: [file for file in store.files("predictions", since=start) if file.model == name],
        timeout_s=120,
    )
    yield name
    local.run("serve", name, "--stop")


def test_traffic_is_judged_with_the_labels_that_came_later(drifting: str, local: LocalFolder) -> None:
    judged = local.run("drift", "--name", drifting, "--since", "1h", "--json")

    assert judged.returncode == 3, judged.stderr
    report: JsonObject = json.loads(judged.stdout)
    assert report["verdict"] == "drift"
    assert report["rows"] == report["realised"]["rows"] == 200
    assert any(reason.startswith("column ") for reason in report["reasons"])
    run = MlflowClient(tracking_uri=local.endpoints.mlflow_url).get_run(report["run_id"])
    assert run.data.metrics["drift"] == 1
    assert run.data.tags["drift.model"] == drifting

    trained = local.run("train", "--name", drifting, "--data", "log:1h", "--trees", "20", "--no-promote")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    version = json.loads(trained.stdout.splitlines()[-1])["version"]

    evaluated = local.run("evaluate", version, "--name", drifting, "--data", "log:1h", "--json")

    assert evaluated.returncode == 0, evaluated.stderr
    evaluation: JsonObject = json.loads(evaluated.stdout)
    assert (evaluation["version"], evaluation["rows"]) == (version, 200)
    assert evaluation["improvement"]["low"] > 0

    replayed = local.run("shadow", version, "--name", drifting, "--from-log", "1h", "--json")

    assert replayed.returncode == 0, replayed.stderr
    replay: JsonObject = json.loads(replayed.stdout)
    assert (replay["figures"]["rows"], replay["figures"]["errors"], replay["trouble"]) == (200, 0, None)
    assert replay["score"]["improvement"]["value"] == pytest.approx(evaluation["improvement"]["value"])
    client = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    run = client.get_run(client.get_model_version(drifting, version).run_id or "")
    assert run.data.metrics["replay.agreement"] == replay["figures"]["agreement"] < 1
    stored = [Path(file.path).name for file in client.list_artifacts(run.info.run_id, replay["folder"])]
    assert stored == ["comparison.json", "replay.json", "rows.json"]


@pytest.fixture
def registry(drifting: str, local: LocalFolder) -> Iterator[MlflowClient]:
    """MLflow, in which a retraining of every other model has just begun. The champion is the same afterwards."""
    client = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    experiment = client.get_experiment_by_name("manta-drift")
    experiment_id = client.create_experiment("manta-drift") if experiment is None else experiment.experiment_id
    for model in client.search_registered_models():
        if model.name != drifting:
            tags = {"drift.model": model.name, "retrain.began_ms": str(round(1000 * time.time()))}
            client.create_run(experiment_id, tags=tags)
    champion = client.get_model_version_by_alias(drifting, "champion").version
    yield client
    client.set_registered_model_alias(drifting, "champion", champion)


def test_a_score_that_fell_twice_begins_a_training(drifting: str, local: LocalFolder, registry: MlflowClient) -> None:
    def judge() -> str:
        """Judge as the schedule does."""
        endpoints = local.endpoints
        process = subprocess.run(
            [sys.executable, "-m", "app.cli.jobs.drift", "--address", endpoints.ray_url],
            cwd=local.folder,
            capture_output=True,
            text=True,
            env=clean_environment() | {"RAY_AUTH_TOKEN": endpoints.ray_token, "MANTA_USER": "drift-schedule"},
            timeout=START_TIMEOUT_S,
            check=False,
        )
        return process.stdout + process.stderr

    version = registry.get_model_version_by_alias(drifting, "champion").version
    first, second = judge(), judge()

    assert f"{drifting} version {version}: no retraining: version {version}: its score fell in the last" in first
    assert f"{drifting} version {version}: retraining begins: " in second
    newest = max(registry.search_model_versions(f"name = '{drifting}'"), key=lambda found: int(found.version))
    assert int(newest.version) > int(version), second
    tags = registry.get_run(str(newest.run_id)).data.tags
    assert tags["mlflow.user"] == "drift-schedule"
    assert tags["data.added_log"] == "200 rows of log:30d"
    judgement = registry.get_run(tags["retrain.judgement"]).data.tags
    assert judgement["retrain.decision"].startswith("retraining begins: ")
    assert judgement["drift.version"] == version
