"""What a model answers besides predictions and probabilities of one output, and rows that lack values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.types import DataType
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

from app.models.signature import Column
from tests.support.replica_api import ROWS, artifact, ask

LABELS = pd.Series(np.where(ROWS["a"] > 0, "x", "y"))
OUTPUTS = pd.DataFrame({"p": LABELS, "q": np.where(ROWS["b"] > 0, "up", "down")})


@pytest.mark.parametrize(
    ("model", "target", "field", "expected"),
    [
        (RidgeClassifier(), LABELS, "decision", lambda model: model.decision_function(ROWS)),
        (LinearSVC(), LABELS == "x", "decision", lambda model: model.decision_function(ROWS)),
        (BayesianRidge(), ROWS["a"], "std", lambda model: model.predict(ROWS, return_std=True)[1]),
        (
            make_pipeline(StandardScaler(), GaussianProcessRegressor(alpha=0.1)),
            ROWS["a"],
            "std",
            lambda model: model.predict(ROWS, return_std=True)[1],
        ),
        (
            RandomForestClassifier(3, random_state=0),
            OUTPUTS,
            "output_probabilities",
            lambda model: [list(row) for row in zip(*(p.tolist() for p in model.predict_proba(ROWS)), strict=True)],
        ),
    ],
    ids=["decision of classes", "decision of two classes", "standard deviation", "a pipeline", "several outputs"],
)
def test_a_model_answers_more_in_a_field_of_its_own(
    model: BaseEstimator, target: pd.Series, field: str, expected: Callable[[BaseEstimator], Any]
) -> None:
    model.fit(ROWS, target)

    answer, status, document = (
        response.json()
        for response in ask(
            ("POST", "/predict", {"features": ROWS.to_numpy().tolist()}),
            ("GET", "/model", None),
            ("GET", "/openapi.json", None),
            model=artifact(model),
        )
    )

    assert answer["predictions"] == model.predict(ROWS).tolist()
    assert answer["probabilities"] is None
    values = expected(model)
    assert answer[field] == (values if isinstance(values, list) else values.tolist())
    assert status["answers"] == ["predictions", field]
    assert set(document["components"]["schemas"]["PredictResponse"]["required"]) == set(answer)


def test_several_outputs_are_a_list_for_each_row_and_their_classes_are_shown() -> None:
    model = RandomForestClassifier(3, random_state=0).fit(ROWS, OUTPUTS)

    answer, status = ask(
        ("POST", "/predict", {"features": ROWS.to_numpy().tolist()}), ("GET", "/model", None), model=artifact(model)
    )

    assert answer.json()["predictions"] == model.predict(ROWS).tolist()
    assert status.json()["output_classes"] == [["x", "y"], ["down", "up"]]
    assert status.json()["classes"] == []


def test_a_model_with_probabilities_answers_exactly_the_fields_of_before() -> None:
    [answer] = ask(
        ("POST", "/predict", {"features": [[1, 2, 3]]}), model=artifact(LogisticRegression().fit(ROWS, LABELS))
    )

    assert list(answer.json()) == ["predictions", "probabilities", "model_version", "timestamp"]


def test_missing_values_are_predicted_where_the_model_takes_them() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "city": ["Rome", None, "Oslo"], "b": [1.0, 2.0, 3.0]})
    columns = make_column_transformer(
        (SimpleImputer(), ["a"]),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["city"]),
        remainder="passthrough",
    )
    model = make_pipeline(columns, LinearRegression()).fit(frame, [1.0, 2.0, 3.0])
    kinds = [Column(name="a"), Column(name="city", type=DataType.string), Column(name="b")]

    by_name, by_position, refused, status, document = ask(
        ("POST", "/predict", {"rows": [{"b": 2}]}),
        ("POST", "/predict", {"features": [[None, None, 2]]}),
        ("POST", "/predict", {"rows": [{"a": 1, "city": "Rome"}]}),
        ("GET", "/model", None),
        ("GET", "/openapi.json", None),
        model=artifact(model, columns=kinds, example=frame.head(2)),
    )

    expected = model.predict(pd.DataFrame({"a": [np.nan], "city": [np.nan], "b": [2.0]})).tolist()
    assert by_name.json()["predictions"] == by_position.json()["predictions"] == expected
    assert refused.status_code == 422
    assert "lacks 'b'" in refused.json()["detail"]
    assert status.json()["optional_columns"] == ["a", "city"]
    body = document.json()["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["oneOf"][1]["properties"]["rows"]["items"]["required"] == ["b"]
