"""A user's own model through search, gate, registry and service, with text and missing values, on real Ray."""

import json

import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.training.data import sources
from app.training.data.split import split_dataset
from app.training.models.fingerprint import model_fingerprint
from app.training.models.source import file_hash
from tests.support.json_object import JsonObject
from tests.support.local import LocalFolder, RunningPlatform

PIPELINE = """
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

SPACE = {"min_samples_leaf": {"low": 1, "high": 20}, "max_features": [0.3, 1.0]}


def build(trees: int = 20, min_samples_leaf: int = 1, max_features: float = 1.0):
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        (SimpleImputer(), make_column_selector(dtype_include="number")),
    )
    return make_pipeline(
        columns, RandomForestRegressor(trees, min_samples_leaf=min_samples_leaf, max_features=max_features)
    )


def fail(trees: int = 20):
    if trees > 20:
        raise RuntimeError(f"{trees} trees do not fit into this garden")
    return build(trees)
"""

FOREST = """
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def build(trees: int = 100):
    return make_pipeline(StandardScaler(), RandomForestClassifier(trees, max_depth=3))
"""


def train(local: LocalFolder, *argv: str) -> JsonObject:
    process = local.run("train", *argv)
    assert process.returncode == 0, process.stdout + process.stderr
    result: JsonObject = json.loads(process.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def registry(platform: RunningPlatform, local: LocalFolder) -> MlflowClient:
    assert platform.process.poll() is None
    return MlflowClient(tracking_uri=local.endpoints.mlflow_url)


@pytest.fixture(scope="module")
def patients(local: LocalFolder) -> pd.DataFrame:
    """The diabetes data, with the sex as text and some values missing, in `patients.csv`; and a model for it."""
    data = load_diabetes(as_frame=True, scaled=False)
    frame = data.frame.assign(
        sex=data.data["sex"].map({1.0: "female", 2.0: "male"}),
        bmi=data.data["bmi"].where(data.data.index % 7 != 0),
    )
    frame.to_csv(local.folder / "patients.csv", index=False)
    (local.folder / "model.py").write_text(PIPELINE)
    return frame


def test_a_regressor_with_text_and_missing_values_is_searched_judged_registered_and_loads(
    registry: MlflowClient, patients: pd.DataFrame, local: LocalFolder
) -> None:
    data = ("--data", "patients.csv", "--target", "target", "--name", "progression")
    first = train(local, *data, "--model", "model.py", "--set", "min_samples_leaf=100")

    search = ("--set", "trees=30", "--trials", "3", "--folds", "2", "--margin", "-100")
    searched = train(local, *data, "--model", "model.py:build", *search)

    run = registry.get_run(searched["run_id"])
    version = registry.get_model_version("progression", searched["version"])
    assert (first["gate"], searched["gate"], searched["promoted"]) == ("passed", "passed", True)
    assert {"rmse", "mae", "r2"} <= searched["metrics"].keys()
    assert "RandomForestRegressor of model.py:build on patients.csv: rmse" in str(version.description)
    assert (run.data.params["trees"], run.data.tags["search.terms"] != "") == ("30", True)
    assert run.data.tags["model.file_sha256"] == file_hash(local.folder / "model.py")
    assert "model.py" in {artifact.path for artifact in registry.list_artifacts(searched["run_id"])}
    trials = registry.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{searched['run_id']}'")
    assert len(trials) == 3
    assert len(patients) == 442


def test_the_reason_of_failed_trials_is_told(
    registry: MlflowClient, patients: pd.DataFrame, local: LocalFolder
) -> None:
    assert len(patients) == 442
    versions_before = len(registry.search_model_versions("name='progression'"))
    argv = ["--data", "patients.csv", "--target", "target", "--name", "progression", "--model", "model.py:fail"]

    failed = local.run("train", *argv, "--trials", "2", "--folds", "2", "--space", '{"trees": [21, 22]}')

    output = failed.stdout + failed.stderr
    assert failed.returncode == 1
    assert "trees do not fit into this garden" in output
    assert "model.py, line 23, in fail" in output
    assert "No trial scored every fold" in output
    assert len(registry.search_model_versions("name='progression'")) == versions_before


def test_a_large_forest_at_the_end_of_a_pipeline_is_fitted_in_slices_and_equals_one_fit(
    registry: MlflowClient, local: LocalFolder
) -> None:
    assert registry
    (local.folder / "forest.py").write_text(FOREST)
    generated = sources.make_synthetic(n_samples=20_000, seed=1)
    generated.rows.features.assign(sold=generated.rows.target).to_parquet(local.folder / "sliced.parquet")
    argv = ["--data", "sliced.parquet", "--target", "sold", "--name", "sliced", "--model", "forest.py"]

    result = train(local, *argv, "--set", "trees=150", "--no-promote")

    dataset = sources.read_file(str(local.folder / "sliced.parquet"), target="sold")
    split = split_dataset(dataset, task="classification", test_size=0.2, seed=42)
    expected = make_pipeline(StandardScaler(), RandomForestClassifier(150, max_depth=3, random_state=42))
    expected.fit(split.train.features, split.train.target)
    assert result["fingerprint"] == model_fingerprint(expected)


def test_a_model_that_serving_could_not_load_registers_nothing(
    registry: MlflowClient, patients: pd.DataFrame, local: LocalFolder
) -> None:
    assert len(patients) == 442
    (local.folder / "lambda_model.py").write_text(
        "from sklearn.linear_model import Ridge\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import FunctionTransformer\n"
        "def build():\n    return make_pipeline(FunctionTransformer(lambda rows: rows[['age']]), Ridge())\n"
    )

    refused = local.run(
        "train", "--data", "patients.csv", "--target", "target", "--model", "lambda_model.py", "--name", "refused"
    )

    assert refused.returncode == 1
    assert "lambda_model.<lambda> (step functiontransformer > func)" in refused.stdout + refused.stderr
    assert not registry.search_registered_models("name='refused'")
