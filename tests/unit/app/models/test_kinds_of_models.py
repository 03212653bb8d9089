from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from mlflow.types import DataType
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from app.errors import ModelRefusedError
from app.models import artifact
from app.models.artifact import Artifact
from app.models.predictor import compile_model
from app.models.signature import Column, Columns

ROWS = pd.DataFrame(np.random.default_rng(1).normal(size=(80, 3)), columns=list("abc"))
LABELS = np.where(ROWS["a"] > 0, "x", "y")


def reload(model: BaseEstimator, folder: Path) -> BaseEstimator:
    """Store a model with skops and read it again."""
    skops.io.dump(model, folder / "model.skops")
    return artifact.load_estimator(folder / "model.skops", "m")


def make_artifact(model: BaseEstimator, rows: pd.DataFrame = ROWS, types: tuple[DataType, ...] = ()) -> Artifact:
    column_types = types or (DataType.double,) * rows.shape[1]
    return Artifact(
        model=model,
        columns=Columns(
            Column(name=name, type=column_type) for name, column_type in zip(rows.columns, column_types, strict=True)
        ),
        example=rows.head(4),
        example_predictions=model.predict(rows.head(4)).tolist(),
        example_probabilities=model.predict_proba(rows.head(4)) if hasattr(model, "predict_proba") else None,
        example_labels=[],
    )


@pytest.mark.parametrize(
    "model",
    [
        AdaBoostClassifier(n_estimators=3),
        CalibratedClassifierCV(LogisticRegression()),
        DecisionTreeClassifier(),
        GaussianProcessRegressor(RBF() + WhiteKernel(), optimizer=None),
        GradientBoostingRegressor(n_estimators=3),
        HistGradientBoostingClassifier(max_iter=3),
        KNeighborsClassifier(algorithm="brute"),
        KNeighborsClassifier(algorithm="kd_tree"),
        LinearRegression(),
        RidgeClassifier(),
        SVC(),
        VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())]),
        make_pipeline(StandardScaler(), PolynomialFeatures(), DecisionTreeClassifier()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_predictions_equal_those_of_scikit_learn(model: BaseEstimator, tmp_path: Path) -> None:
    is_regressor = "Regress" in type(model).__name__
    model.fit(ROWS, ROWS["a"] if is_regressor else LABELS)
    predictor = compile_model(make_artifact(reload(model, tmp_path)), label="m")

    answers = predictor.predict(ROWS.to_numpy())

    assert answers.predictions.tolist() == model.predict(ROWS).tolist()
    expected = model.predict_proba(ROWS).tolist() if hasattr(model, "predict_proba") else None
    assert (None if answers.probabilities is None else answers.probabilities.tolist()) == expected


def test_predictions_of_a_pipeline_with_text_columns_equal_those_of_scikit_learn(tmp_path: Path) -> None:
    rows = pd.DataFrame({"city": np.where(ROWS["b"] > 0, "Rome", "Oslo"), "a": ROWS["a"]}).astype({"city": object})
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(encoder, LogisticRegression()).fit(rows, LABELS)
    predictor = compile_model(
        make_artifact(reload(model, tmp_path), rows, (DataType.string, DataType.double)),
        label="m",
    )

    answers = predictor.predict(rows.to_numpy(dtype=object))

    assert answers.predictions.tolist() == model.predict(rows).tolist()


def custom_function(rows: np.ndarray) -> np.ndarray:
    """A function that must not be loaded from a file."""
    return rows


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (make_pipeline(FunctionTransformer(custom_function), LogisticRegression()), "types that are not trusted"),
        (KMeans(n_clusters=2, n_init=1), "neither a classifier nor a regressor"),
    ],
    ids=["a function", "a clustering"],
)
def test_a_model_with_untrusted_types_or_without_predictions_is_refused(
    model: BaseEstimator, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        reload(model.fit(ROWS.to_numpy(), LABELS), tmp_path)


@pytest.mark.parametrize(("field", "value"), [("left", 10_000), ("right", 0), ("feature_idx", 3)])
def test_a_histogram_tree_with_an_index_outside_its_arrays_is_refused(field: str, value: int, tmp_path: Path) -> None:
    model = reload(HistGradientBoostingClassifier(max_iter=2).fit(ROWS, LABELS), tmp_path)
    damaged = make_artifact(model)
    model._predictors[1][0].nodes[field][0] = value

    with pytest.raises(ModelRefusedError, match="has an index outside its arrays"):
        compile_model(damaged, label="m")


def test_a_model_with_several_outputs_predicts_a_row_of_numbers(tmp_path: Path) -> None:
    model = LinearRegression().fit(ROWS, ROWS[["a", "b"]])
    predictor = compile_model(make_artifact(reload(model, tmp_path)), label="m")

    assert np.array_equal(predictor.predict(ROWS.to_numpy()).predictions, model.predict(ROWS))
