"""A replica reads the prepared files of boosting as the child wrote them, and refuses damaged ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities.model_registry import ModelVersion
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from app.errors import ModelRefusedError
from app.models.artifact import Artifact
from app.models.estimator import prove
from app.models.predictor import Predictor
from app.models.signature import Column, Columns
from app.models.trees.flatten import flatten_model
from app.serving.loading import files, reader
from app.serving.loading.manifest import Manifest

IRIS, CLASSES = load_iris(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
CLASSIFIER = HistGradientBoostingClassifier(max_iter=3, categorical_features=[3], min_samples_leaf=5)
MODELS = {
    "three classes": (CLASSIFIER.fit(IRIS, CLASSES), IRIS),
    "regressor": (HistGradientBoostingRegressor(max_iter=3, loss="poisson").fit(DIABETES, PROGRESS), DIABETES),
}


def write(folder: Path, model: BaseEstimator, rows: np.ndarray) -> None:
    """Write the files of a model, as a child does."""
    example = pd.DataFrame(rows[:4]).rename(columns=str)
    artifact = Artifact(
        model=model,
        columns=Columns(Column(name=name) for name in example.columns),
        example=example,
        example_predictions=None,
        example_probabilities=None,
        example_labels=[],
    )
    estimator = prove(artifact, label="m")
    flat = flatten_model(estimator)
    assert flat is not None
    version = ModelVersion(name="m", version="1", creation_timestamp=0)
    folder.mkdir()
    files.write(folder, Manifest.describe(version, artifact, estimator, flat=flat), flat, folder / "unused")


def read(folder: Path) -> Predictor:
    return reader.read(folder, files.digest(folder), label="m")[1]


@pytest.mark.parametrize("name", MODELS)
def test_boosting_predicts_from_files_as_scikit_learn_does(name: str, tmp_path: Path) -> None:
    model, rows = MODELS[name]
    write(tmp_path / "files", model, rows)

    predictor = read(tmp_path / "files")

    with_gaps = np.where(np.random.default_rng(1).random(rows.shape) < 0.2, np.nan, rows)
    assert predictor.predict(with_gaps).predictions.tolist() == model.predict(with_gaps).tolist()
    assert [column.is_optional for column in predictor.columns] == [True] * rows.shape[1]


def set_sums(**changes: object) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["trees"].update(changes)


def remove_class(manifest: dict[str, Any]) -> None:
    manifest["labels"] = manifest["labels"][:2]
    manifest["probabilities"] = [row[:2] for row in manifest["probabilities"]]


CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "a link of regressors": set_sums(link="log"),
    "a link of two classes": set_sums(link="logit"),
    "an unknown link": set_sums(link="cubic"),
    "a division by zero": set_sums(divisor=0),
    "another divisor": set_sums(divisor=3),
    "a class less": remove_class,
    "a column less": lambda manifest: manifest["columns"].pop(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_description_is_refused_for(name: str, tmp_path: Path) -> None:
    write(tmp_path / "files", *MODELS["three classes"])
    path = tmp_path / "files" / files.MANIFEST
    manifest = json.loads(path.read_text())
    CHANGES[name](manifest)
    path.write_text(json.dumps(manifest))

    with pytest.raises(ModelRefusedError):
        read(tmp_path / "files")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("nodes", lambda array: array["left"]),
        ("flags", lambda array: array[:-1]),
        ("values", lambda array: array[:, 0]),
        ("values", lambda array: array.astype(np.float32)),
        ("trees", lambda array: array[:0]),
        ("sets", lambda array: array[:, :-1]),
        ("kinds", lambda array: array[:-1]),
        ("category_ends", lambda array: array + 1),
        ("baseline", lambda array: array[:-1]),
    ],
)
def test_an_array_that_does_not_fit_the_others_is_refused(
    name: str, change: Callable[[np.ndarray], np.ndarray], tmp_path: Path
) -> None:
    write(tmp_path / "files", *MODELS["three classes"])
    path = tmp_path / "files" / f"{name}.npy"
    np.save(path, np.ascontiguousarray(change(np.load(path))))

    with pytest.raises(ModelRefusedError, match="The prepared files of m are damaged"):
        read(tmp_path / "files")
