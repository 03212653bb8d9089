import json
import re
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from app.names import MODEL_NAME
from tests.support.json_object import JsonObject
from tests.support.local import LocalFolder, RunningPlatform


@pytest.fixture(scope="module")
def registry(platform: RunningPlatform, local: LocalFolder) -> MlflowClient:
    assert platform.process.poll() is None
    return MlflowClient(tracking_uri=local.endpoints.mlflow_url)


def train(local: LocalFolder, *argv: str) -> JsonObject:
    """Train, and return the result: the last line of the job's output."""
    process = local.run("train", *argv)
    assert process.returncode == 0, process.stdout + process.stderr
    result: JsonObject = json.loads(process.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def wine(registry: MlflowClient, local: LocalFolder) -> JsonObject:
    """The result of a training run on the wine data."""
    assert registry
    return train(local, "--dataset", "wine", "--trees", "20", "--seed", "3")


def test_a_run_has_parameters_metrics_plots_and_the_origin_of_code_and_data(
    registry: MlflowClient, wine: JsonObject
) -> None:
    run = registry.get_run(wine["run_id"])

    assert registry.get_experiment(run.info.experiment_id).name == "manta"
    assert run.info.status == "FINISHED"
    assert {name: run.data.params[name] for name in ("n_estimators", "dataset", "seed", "test_size")} == {
        "n_estimators": "20",
        "dataset": "wine",
        "seed": "3",
        "test_size": "0.2",
    }
    assert {"accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss", "brier"} <= run.data.metrics.keys()
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", run.data.tags["mlflow.source.git.commit"])
    assert re.fullmatch(r"[0-9a-f]{64}", run.data.tags["data.fingerprint"])
    assert run.data.tags["package.scikit-learn"].startswith("1.")
    assert run.inputs is not None
    assert [entry.dataset.name for entry in run.inputs.dataset_inputs] == ["wine"]
    plots = {artifact.path for artifact in registry.list_artifacts(wine["run_id"])}
    assert {"confusion_matrix.png", "roc.png", "calibration.png"} <= plots


def test_a_version_is_registered_with_signature_and_example(
    registry: MlflowClient, wine: JsonObject, local: LocalFolder
) -> None:
    version = registry.get_model_version(MODEL_NAME, wine["version"])
    mlflow.set_tracking_uri(local.endpoints.mlflow_url)
    info = mlflow.models.get_model_info(f"models:/{MODEL_NAME}/{wine['version']}")

    assert version.run_id == wine["run_id"]
    # The champion needs other columns, so the two models cannot be compared.
    assert version.tags["gate"] == wine["gate"] == "failed"
    assert "so the two cannot be compared" in wine["reason"]
    assert "wine" in str(version.description)
    assert info.signature.inputs.input_names()[0] == "alcohol"
    assert info.saved_input_example_info is not None


def test_the_metrics_are_plausible_for_held_out_rows(wine: JsonObject) -> None:
    assert 0.9 < wine["metrics"]["accuracy"] <= 1
    assert 0 <= wine["metrics"]["brier"] < 0.3


def test_the_same_seed_gives_the_same_forest_bit_for_bit(local: LocalFolder, wine: JsonObject) -> None:
    same_seed = train(local, "--dataset", "wine", "--trees", "20", "--seed", "3")
    other_seed = train(local, "--dataset", "wine", "--trees", "20", "--seed", "4")

    assert same_seed["fingerprint"] == wine["fingerprint"]
    assert other_seed["fingerprint"] != wine["fingerprint"]


def test_a_file_in_the_working_directory_is_trained_on(local: LocalFolder, registry: MlflowClient) -> None:
    rows = "\n".join(f"{i},{i % 7},{'yes' if i % 3 else 'no'}" for i in range(60))
    (local.folder / "houses.csv").write_text(f"rooms,area,sold\n{rows}\n")

    result = train(local, "--data", "houses.csv", "--target", "sold", "--trees", "10")

    source = registry.get_run(result["run_id"]).data.tags["data.source"]
    assert source == str(local.folder / "houses.csv")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--data", "bad.csv", "--target", "sold"], "not numbers: city"),
        (["--data", "nowhere.csv", "--target", "sold"], "cannot be read"),
        (["--dataset", "irises"], "no bundled data set 'irises'"),
    ],
)
def test_a_job_with_unusable_data_fails_and_registers_no_version(
    local: LocalFolder, registry: MlflowClient, argv: list[str], message: str
) -> None:
    (Path(local.folder) / "bad.csv").write_text("a,city,sold\n1,Rome,yes\n2,Oslo,no\n")
    versions_before = len(registry.search_model_versions(f"name='{MODEL_NAME}'"))

    process = local.run("train", *argv)

    output = process.stdout + process.stderr
    assert process.returncode == 1
    assert message in output
    assert "Traceback" not in output
    assert len(registry.search_model_versions(f"name='{MODEL_NAME}'")) == versions_before
