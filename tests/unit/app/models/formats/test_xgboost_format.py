import sys
from pathlib import Path

import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pytest
import xgboost
from sklearn.base import BaseEstimator
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier, XGBRFRegressor

from app.errors import ModelRefusedError
from app.models import artifact
from app.models.formats import boosters
from app.models.predictor import compile_model
from app.models.trusted_types import TRUSTED_TYPES
from tests.support.stored_models import diabetes, save, wine

CLASSES = (XGBClassifier, XGBRFClassifier)


@pytest.mark.parametrize(
    "model",
    [
        XGBClassifier(n_estimators=5, n_jobs=1),
        XGBClassifier(n_estimators=5, n_jobs=1, booster="dart", rate_drop=0.5),
        XGBClassifier(n_estimators=5, n_jobs=1, tree_method="exact", gamma=2),
        XGBRFClassifier(n_estimators=5, n_jobs=1),
        XGBRegressor(n_estimators=5, n_jobs=1),
        XGBRegressor(n_estimators=5, n_jobs=1, booster="gblinear"),
        XGBRFRegressor(n_estimators=5, n_jobs=1),
    ],
    ids=["trees", "dart", "pruned", "forest", "regression", "linear", "regression forest"],
)
@pytest.mark.parametrize("encoding", ["ubj", "json"])
def test_what_mlflow_stores_predicts_as_before(model: BaseEstimator, encoding: str, tmp_path: Path) -> None:
    rows, target = wine() if isinstance(model, CLASSES) else diabetes()
    model.fit(rows, target)
    folder = save(mlflow.xgboost.save_model, model, rows, tmp_path, model_format=encoding)

    predictor = compile_model(artifact.read(folder, label="m"), label="m")
    answers = predictor.predict(rows.to_numpy())

    assert np.array_equal(answers.predictions, model.predict(rows))
    if isinstance(model, CLASSES):
        assert answers.probabilities is not None
        assert np.array_equal(answers.probabilities, model.predict_proba(rows))


@pytest.mark.parametrize("objective", ["multi:softprob", "multi:softmax", "reg:squarederror"])
def test_a_booster_becomes_a_classifier_or_a_regressor_by_its_objective(objective: str, tmp_path: Path) -> None:
    rows, target = wine()
    parameters = {"objective": objective, "nthread": 1} | ({"num_class": 3} if objective.startswith("multi") else {})
    booster = xgboost.train(parameters, xgboost.DMatrix(rows, target), num_boost_round=5)
    folder = save(mlflow.xgboost.save_model, booster, rows, tmp_path)

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy())

    expected = booster.predict(xgboost.DMatrix(rows))
    assert np.array_equal(answers.predictions, expected.argmax(axis=1) if objective == "multi:softprob" else expected)
    assert (answers.probabilities is None) == objective.startswith("reg")


def test_a_booster_with_another_objective_is_refused_with_the_objectives_that_serve(tmp_path: Path) -> None:
    rows, target = wine()
    booster = xgboost.train(
        {"objective": "rank:pairwise", "nthread": 1}, xgboost.DMatrix(rows, target), num_boost_round=2
    )
    folder = save(mlflow.xgboost.save_model, booster, rows, tmp_path)

    with pytest.raises(ModelRefusedError, match=r"objective rank:pairwise.*multi:softprob"):
        artifact.read(folder, label="m")


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), XGBClassifier(n_estimators=5, n_jobs=1)),
        StackingClassifier([("x", XGBClassifier(n_estimators=3, n_jobs=1))], LogisticRegression()),
    ],
    ids=["pipeline", "stacking"],
)
def test_a_model_with_a_booster_inside_predicts_as_before(model: BaseEstimator, tmp_path: Path) -> None:
    rows, target = wine()
    model.fit(rows, target)
    folder = save(
        mlflow.sklearn.save_model,
        model,
        rows,
        tmp_path,
        serialization_format="skops",
        skops_trusted_types=[*TRUSTED_TYPES, *boosters.trusted_types()],
    )

    answers = compile_model(artifact.read(folder, label="m"), label="m").predict(rows.to_numpy())

    assert np.array_equal(answers.predictions, model.predict(rows))
    assert answers.probabilities is not None
    assert np.array_equal(answers.probabilities, model.predict_proba(rows))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"split_indices":[12,', '"split_indices":[99,'),
        ('"left_children":[1,', '"left_children":[0,'),
        ('"left_children":[1,3,', '"left_children":[1,1,'),
        ('"tree_info":[0,1,2,', '"tree_info":[0,1,9,'),
    ],
    ids=["a column", "a cycle", "a node with two parents", "a class"],
)
def test_a_file_with_an_index_outside_its_arrays_is_refused(old: str, new: str, tmp_path: Path) -> None:
    rows, target = wine()
    model = XGBClassifier(n_estimators=5, n_jobs=1, booster="gbtree").fit(rows, target)
    folder = save(mlflow.xgboost.save_model, model, rows, tmp_path, model_format="json")
    file = folder / "model.json"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))

    with pytest.raises(ModelRefusedError, match=r"index outside its arrays|cannot be read"):
        compile_model(artifact.read(folder, label="m"), label="m")


def test_a_model_is_refused_with_the_extra_if_xgboost_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, target = wine()
    folder = save(mlflow.xgboost.save_model, XGBClassifier(n_estimators=2, n_jobs=1).fit(rows, target), rows, tmp_path)
    monkeypatch.setitem(sys.modules, "xgboost", None)

    with pytest.raises(ModelRefusedError, match=r"needs the package xgboost.*manta\[xgboost\]"):
        artifact.read(folder, label="m")
