"""A served model whose requests have shifted, with labels that show a lower score."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pandas as pd
from mlflow import MlflowClient
from sklearn.datasets import load_breast_cancer

from app.records.drift_runs import BEGAN_TAG, EXPERIMENT_SUFFIX, MODEL_TAG
from app.records.mlflow_store import MlflowStore
from app.settings import Settings
from tests.support.live_rollouts import RolloutPlatform
from tests.support.waiting import wait_for

MODEL: Final = "drifting"
ROWS: Final = 200
LOG_TIMEOUT_S: Final = 300.0
JUDGEMENTS: Final = Settings().experiment + EXPERIMENT_SUFFIX
"""Experiment with the judgements."""


def prepare(platform: RolloutPlatform, folder: Path) -> None:
    """Train and serve `MODEL`, and send it rows that have shifted, and their labels. The log holds them afterwards.

    Args:
        platform: A running platform with a prediction log in MLflow.
        folder: An empty folder.
    """
    platform.run("train", "--name", MODEL, "--trees", "20")
    platform.run("serve", MODEL)
    data = load_breast_cancer(as_frame=True)
    rows = data.data.head(ROWS)
    shifted = (rows + 2 * rows.std()).to_dict("records")
    answer = platform.api.post(f"models/{MODEL}/predict", json={"rows": shifted})
    assert answer.is_success, answer.text
    file = folder / "labels.csv"
    labels = data.target_names[data.target.head(ROWS)]
    pd.DataFrame({"request_id": answer.headers["x-request-id"], "row": range(ROWS), "label": labels}).to_csv(file)
    assert platform.run("feedback", str(file)).strip() == f"{ROWS} labels were stored."
    store = MlflowStore(Settings(mlflow_tracking_uri=platform.registry.tracking_uri))
    start = datetime.now(UTC) - timedelta(hours=1)
    wait_for(
        "the rows in the log",
        lambda: [file for file in store.files("predictions", since=start) if file.model == MODEL],
        timeout_s=LOG_TIMEOUT_S,
    )


def hold_other_retrainings(registry: MlflowClient) -> None:
    """Record that a retraining of every other model has just begun, so that none begins now."""
    experiment = registry.get_experiment_by_name(JUDGEMENTS)
    experiment_id = registry.create_experiment(JUDGEMENTS) if experiment is None else experiment.experiment_id
    for model in registry.search_registered_models():
        if model.name != MODEL:
            tags = {MODEL_TAG: model.name, BEGAN_TAG: str(round(1000 * time.time()))}
            registry.create_run(experiment_id, tags=tags)


def assert_retrained(platform: RolloutPlatform, version: str, first: str, second: str) -> str:
    """Check that the second of two scheduled judgements has begun a training.

    Args:
        platform: The platform.
        version: The champion before the judgements.
        first: Output of the first judgement.
        second: Output of the second judgement and of the training.

    Returns:
        The decision.
    """
    assert f"{MODEL} version {version}: no retraining: version {version}: its score fell in the last" in first
    assert f"{MODEL} version {version}: retraining begins: " in second
    newest = max(platform.registry.search_model_versions(f"name = '{MODEL}'"), key=lambda found: int(found.version))
    assert int(newest.version) > int(version), second
    tags = platform.registry.get_run(str(newest.run_id)).data.tags
    assert tags["mlflow.user"] == "drift-schedule"
    assert tags["data.added_log"] == f"{ROWS} rows of log:30d"
    judgement = platform.registry.get_run(tags["retrain.judgement"]).data.tags
    assert judgement["drift.version"] == version
    assert judgement["retrain.decision"].startswith("retraining begins: ")
    return str(judgement["retrain.decision"])
