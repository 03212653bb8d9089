"""A running platform from a request to the prediction log in MLflow, its labels, and `manta drift`."""

import json
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
from tests.support.local import LocalFolder
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


@pytest.fixture
def drifting(local: LocalFolder) -> Iterator[str]:
    """A served model of its own, whose log holds no requests of other tests."""
    trained = local.run("train", "--name", "drifting", "--trees", "20")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    served = local.run("serve", "drifting")
    assert served.returncode == 0, served.stderr
    yield "drifting"
    local.run("serve", "drifting", "--stop")


def test_traffic_is_judged_with_the_labels_that_came_later(
    drifting: str, api: httpx.Client, local: LocalFolder, tmp_path: Path
) -> None:
    data = load_breast_cancer(as_frame=True)
    rows = data.data.head(200)
    shifted = (rows + 2 * rows.std()).to_dict("records")
    answer = api.post(f"/models/{drifting}/predict", json={"rows": shifted})
    assert answer.status_code == 200, answer.text
    file = tmp_path / "labels.csv"
    labels = data.target_names[data.target.head(200)]
    pd.DataFrame({"request_id": answer.headers["x-request-id"], "row": range(200), "label": labels}).to_csv(file)

    sent = local.run("feedback", str(file))
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.strip() == "200 labels were stored."

    store = MlflowStore(Settings(mlflow_tracking_uri=local.endpoints.mlflow_url))
    start = datetime.now(UTC) - timedelta(hours=1)
    wait_for(
        "the rows in the log",
        lambda: [file for file in store.files("predictions", since=start) if file.model == drifting],
        timeout_s=120,
    )

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
