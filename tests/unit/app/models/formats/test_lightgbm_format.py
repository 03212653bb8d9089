import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.lightgbm
import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.errors import ModelRefusedError
from app.models import artifact
from app.models.formats import boosters
from app.models.predictor import compile_model
from app.models.trusted_types import TRUSTED_TYPES
from tests.support.stored_models import diabetes, iris, save, wine

ONE_THREAD: Any = {"n_jobs": 1, "verbose": -1}  # options of several types


@pytest.mark.parametrize("load_rows", [wine, iris], ids=["wine", "names with blanks"])
def test_a_classifier_that_mlflow_stores_predicts_as_before(
    load_rows: Callable[[], tuple[pd.DataFrame, pd.Series]], tmp_path: Path
) -> None:
    rows, target = load_rows()
    labels = target.map({0: "a", 1: "b", 2: "c"}).astype(object)
    model = LGBMClassifier(n_estimators=5, **ONE_THREAD).fit(rows, labels)
    folder = save(mlflow.lightgbm.save_model, model, rows, tmp_path)

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy())

    assert answers.predictions.tolist() == np.asarray(model.predict(rows)).tolist()
    assert answers.probabilities is not None
    assert np.array_equal(answers.probabilities, model.predict_proba(rows))


@pytest.mark.parametrize(
    "model",
    [
        LGBMRegressor(n_estimators=5, **ONE_THREAD),
        LGBMRegressor(n_estimators=5, linear_tree=True, **ONE_THREAD),
        make_pipeline(StandardScaler().set_output(transform="pandas"), LGBMRegressor(n_estimators=5, **ONE_THREAD)),
    ],
    ids=["trees", "linear trees", "pipeline"],
)
def test_a_regressor_in_a_skops_file_predicts_as_before(model: BaseEstimator, tmp_path: Path) -> None:
    rows, target = diabetes()
    model.fit(rows, target)
    trusted = [*TRUSTED_TYPES, *boosters.trusted_types()]
    folder = save(
        mlflow.sklearn.save_model,
        model,
        rows,
        tmp_path,
        serialization_format="skops",
        skops_trusted_types=trusted,
    )

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy())

    assert np.array_equal(answers.predictions, model.predict(rows))


@pytest.mark.parametrize(
    ("objective", "options"), [("multiclass", {"num_class": 3}), ("binary", {}), ("regression", {}), ("l1", {})]
)
def test_a_booster_becomes_a_classifier_or_a_regressor_by_its_objective(
    objective: str, options: dict[str, int], tmp_path: Path
) -> None:
    rows, target = wine()
    target = (target > 0).astype(int) if objective == "binary" else target
    parameters: dict[str, Any] = {"objective": objective, "verbose": -1, "num_threads": 1} | options
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, target), num_boost_round=5)
    folder = save(mlflow.lightgbm.save_model, booster, rows, tmp_path)

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy())

    raw = np.asarray(booster.predict(rows))
    labels = raw.argmax(axis=1) if objective == "multiclass" else (raw > 0.5).astype(int)
    is_classifier = objective in {"multiclass", "binary"}
    assert np.array_equal(answers.predictions, labels if is_classifier else raw)
    assert (answers.probabilities is None) != is_classifier


def test_a_booster_with_categories_predicts_as_before(tmp_path: Path) -> None:
    rows, target = diabetes()
    rows = rows.assign(sex=(rows["sex"] > 0).astype(float), age=pd.qcut(rows["age"], 6, labels=False).astype(float))
    data = lightgbm.Dataset(rows, target, categorical_feature=["sex", "age"])
    parameters = {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_per_group": 5, "cat_smooth": 1}
    booster = lightgbm.train(parameters, data, num_boost_round=5)
    assert "num_cat=1" in booster.model_to_string()
    folder = save(mlflow.lightgbm.save_model, booster, rows, tmp_path)

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy())

    assert np.array_equal(answers.predictions, booster.predict(rows))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("split_feature=", "split_feature=99 "),
        ("left_child=1 ", "left_child=0 "),
        ("left_child=1 ", "left_child=99 "),
        ("left_child=1 ", "left_child=-99 "),
        ("num_class=3", "num_class=2"),
        ("num_class:3", "num_class:999999999"),
        ("num_tree_per_iteration=3", "num_tree_per_iteration=300"),
    ],
)
def test_a_file_with_an_index_outside_its_arrays_is_refused(old: str, new: str, tmp_path: Path) -> None:
    rows, target = wine()
    parameters = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, target), num_boost_round=2)
    folder = save(mlflow.lightgbm.save_model, booster, rows, tmp_path)
    file = folder / "model.lgb"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))

    with pytest.raises(ModelRefusedError, match=r"index outside its arrays|cannot be read"):
        artifact.read(folder, label="m")


def test_an_estimator_that_switches_the_check_of_columns_off_is_refused(tmp_path: Path) -> None:
    rows, target = wine()
    model = LGBMClassifier(n_estimators=2, predict_disable_shape_check=True, **ONE_THREAD).fit(rows, target)
    folder = save(mlflow.lightgbm.save_model, model, rows, tmp_path)

    with pytest.raises(ModelRefusedError, match="check of the number of columns"):
        compile_model(artifact.read(folder, label="m"), label="m")


@pytest.mark.parametrize("kind", ["booster", "estimator"])
def test_a_model_is_refused_with_the_extra_if_lightgbm_is_not_installed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, target = wine()
    model = LGBMClassifier(n_estimators=2, **ONE_THREAD).fit(rows, target)
    folder = save(mlflow.lightgbm.save_model, model.booster_ if kind == "booster" else model, rows, tmp_path)
    monkeypatch.setattr("app.models.formats.extras.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "lightgbm", None)

    with pytest.raises(ModelRefusedError, match=r"needs the package lightgbm.*manta\[lightgbm\]"):
        artifact.read(folder, label="m")
