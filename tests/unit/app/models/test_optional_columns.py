"""The columns of a model, their types, and where it takes missing values."""

import numpy as np
import pandas as pd
import pytest
from mlflow.types import DataType
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from app.errors import ModelRefusedError
from app.models.answers import Answers
from app.models.frames import to_frame, to_rows
from app.models.optional_columns import find_optional
from app.models.signature import Column, Columns, infer_columns, read_columns, write_signature

COUNT = 60
GENERATOR = np.random.default_rng(0)
PEOPLE = pd.DataFrame(
    {
        "age": np.where(np.arange(COUNT) % 7 == 0, np.nan, GENERATOR.normal(40, 9, COUNT)),
        "rooms": GENERATOR.integers(1, 5, COUNT),
        "city": [None if index % 5 == 0 else ("Oslo", "Rome")[index % 2] for index in range(COUNT)],
        "owner": GENERATOR.random(COUNT) > 0.5,
        "heating": pd.Categorical(GENERATOR.choice(["gas", "wood"], COUNT)),
        "built": pd.date_range("2020-01-01", periods=COUNT),
    }
)
TARGET = (PEOPLE["rooms"] > 2).astype(int)


def pipeline() -> Pipeline:
    """Fills the gaps of `age`, `owner` and `city`, and refuses those of every other column."""
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = make_column_transformer(
        (SimpleImputer(), ["age", "owner"]),
        (text, ["city"]),
        (OrdinalEncoder(), ["heating", "built"]),
        ("passthrough", ["rooms"]),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(PEOPLE, TARGET)


def optional_names(model: BaseEstimator, frame: pd.DataFrame) -> list[str]:
    columns = infer_columns(frame)

    def predict(rows: np.ndarray) -> Answers:
        return Answers(predictions=model.predict(to_frame(rows, columns)))

    found = find_optional(columns, to_rows(frame.tail(1), columns), predict)
    return [column.name for column in found if column.is_optional]


def test_the_types_of_the_columns_are_those_of_the_frame() -> None:
    assert [column.type for column in infer_columns(PEOPLE)] == [
        DataType.double,
        DataType.long,
        DataType.string,
        DataType.boolean,
        DataType.string,
        DataType.datetime,
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Series([True, None, False], dtype=object), DataType.boolean),
        (pd.Series([1, None], dtype=object), DataType.double),
        (pd.Series([1, None], dtype="Int64"), DataType.long),
        (pd.Series([1, 2], dtype="category"), DataType.long),
        (pd.Series([None, None], dtype=object), DataType.string),
    ],
    ids=["booleans with a gap", "integers with a gap", "nullable integers", "categories of integers", "only gaps"],
)
def test_the_type_of_a_column_with_gaps_is_that_of_its_values(values: pd.Series, kind: DataType) -> None:
    assert infer_columns(pd.DataFrame({"a": values}))[0].type == kind


@pytest.mark.parametrize(
    "values",
    [pd.date_range("2026-01-01", periods=2, tz="UTC"), pd.to_timedelta([1, 2]), [{}, {}]],
    ids=["dates with a time zone", "durations", "dictionaries"],
)
def test_a_column_that_no_request_can_send_is_refused_by_name(values: object) -> None:
    with pytest.raises(ModelRefusedError, match=r"Column 'a' holds values of the type .*Convert the column"):
        infer_columns(pd.DataFrame({"a": values}))


def test_the_rows_of_a_request_make_the_frame_that_the_model_was_fitted_on() -> None:
    columns, model = infer_columns(PEOPLE), pipeline()

    frame = to_frame(to_rows(PEOPLE, columns), columns)

    assert np.array_equal(model.predict_proba(frame), model.predict_proba(PEOPLE))


def test_a_pipeline_takes_missing_values_only_where_a_step_fills_them() -> None:
    assert optional_names(pipeline(), PEOPLE) == ["age", "city", "owner"]


def test_histogram_gradient_boosting_takes_missing_values_in_every_column() -> None:
    rows = PEOPLE[["age", "rooms", "owner", "heating"]]
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=3).fit(rows, TARGET)

    assert optional_names(model, rows) == ["age", "rooms", "owner", "heating"]


def test_a_model_that_refuses_missing_values_has_no_optional_column() -> None:
    rows = PEOPLE[["rooms", "owner"]]

    assert optional_names(LogisticRegression().fit(rows, TARGET), rows) == []


def test_the_signature_keeps_the_types_and_the_optional_columns() -> None:
    columns = Columns([Column(name="rooms", type=DataType.long), Column(name="city", type=DataType.string)])
    columns = columns.with_optional({"city"})
    model = LogisticRegression().fit(PEOPLE[["rooms", "owner"]], TARGET)
    del model.feature_names_in_

    signature = write_signature(columns, np.array([1]))

    assert read_columns(signature, model, label="m") == columns
