"""A running platform from a request to the prediction log in MLflow, its labels, and `manta drift`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from app.cli.local.log_format import JSON_LOG
from app.cli.state import STATE_FOLDER
from app.records.mlflow_store import MlflowStore
from app.settings import Settings
from tests.support import drifting_model
from tests.support.json_object import JsonObject
from tests.support.live_rollouts import RolloutPlatform
from tests.support.local import START_TIMEOUT_S, LocalFolder, clean_environment
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

    logged_rows = wait_for("the prediction log", logged, timeout_s=300)
    last = sorted((row for row in logged_rows if row["request_id"] == ids[2]), key=itemgetter("row"))
    assert [row["prediction"] for row in last] == named.json()["predictions"]
    assert [row["version"] for row in last] == [named.json()["model_version"]] * ROWS
    assert [[value for name, value in row.items() if name.startswith("feature.")] for row in last] == rows


@pytest.fixture(scope="module")
def drifting(rollouts: RolloutPlatform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served model of its own. Its log holds rows that have shifted, with their labels."""
    drifting_model.prepare(rollouts, tmp_path_factory.mktemp("feedback"))
    yield drifting_model.MODEL
    rollouts.run("serve", drifting_model.MODEL, "--stop")


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
def registry(drifting: str, rollouts: RolloutPlatform) -> Iterator[MlflowClient]:
    """MLflow, in which a retraining of every other model has just begun. The champion is the same afterwards."""
    client = rollouts.registry
    drifting_model.hold_other_retrainings(client)
    champion = client.get_model_version_by_alias(drifting, "champion").version
    yield client
    client.set_registered_model_alias(drifting, "champion", champion)


def test_a_score_that_fell_twice_begins_a_training(
    drifting: str, rollouts: RolloutPlatform, local: LocalFolder, registry: MlflowClient
) -> None:
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

    drifting_model.assert_retrained(rollouts, version, first, second)
    log = (local.folder / STATE_FOLDER / "logs" / JSON_LOG).read_text()
    lines = [json.loads(line) for line in log.splitlines() if "retraining_decided" in line]
    assert [line["begins"] for line in lines if line["model"] == drifting] == [False, True]
    trainings = rollouts.api.get("model/trainings").raise_for_status().json()["trainings"]
    assert drifting in {training["model"] for training in trainings if training["judgement"]}
