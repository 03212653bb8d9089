"""The check before the fit, with real estimators and data of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_iris

from app.training.data.dataset import Rows
from app.training.models import trial_fit
from app.training.models.code_errors import ModelCodeError
from tests.unit.app.training.models.conftest import WriteModel

IRIS = load_iris(as_frame=True)
ROWS = Rows(features=IRIS.data, target=IRIS.target)
DIABETES = load_diabetes(as_frame=True, scaled=False)

TEXT_FEATURES = DIABETES.data.assign(
    sex=DIABETES.data["sex"].map({1.0: "female", 2.0: "male"}).astype(object),
    bmi=DIABETES.data["bmi"].where(DIABETES.data.index % 7 != 0),
)
TEXT_ROWS = Rows(features=TEXT_FEATURES, target=DIABETES.target)

IMPORTS = """
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn import ensemble
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
import numpy as np

class Doubled(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.fitted_ = True
        return self
    def transform(self, X):
        return X * 2

class Wide(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self
    def predict(self, X):
        return np.zeros((len(X), 2))

def build():
    return """


def check(write_model: WriteModel, body: str, rows: Rows = ROWS) -> BaseEstimator:
    return trial_fit.check(write_model(IMPORTS + body), rows, {}, seed=1)


def test_a_pipeline_for_text_and_missing_values_passes(write_model: WriteModel) -> None:
    columns = (
        "make_column_transformer((OneHotEncoder(), make_column_selector(dtype_exclude='number')), "
        "(SimpleImputer(), make_column_selector(dtype_include='number')))"
    )

    model = check(write_model, f"make_pipeline({columns}, Ridge())", TEXT_ROWS)

    assert model.predict(TEXT_FEATURES).shape == (len(TEXT_ROWS),)


def test_a_model_without_steps_for_text_is_told_the_columns_and_a_pipeline(write_model: WriteModel) -> None:
    with pytest.raises(ModelCodeError) as error:
        check(write_model, "Ridge()", TEXT_ROWS)

    assert "could not convert string to float" in error.value.detail
    assert "The step that failed is Ridge. Columns with text: sex." in error.value.detail
    assert "make_column_transformer" in error.value.next_step


def test_a_model_without_a_step_for_missing_values_is_told_the_columns(write_model: WriteModel) -> None:
    rows = Rows(features=TEXT_FEATURES.drop(columns="sex"), target=DIABETES.target)

    with pytest.raises(ModelCodeError, match=r"is Ridge. Columns with missing values: bmi\.") as error:
        check(write_model, "Ridge()", rows)

    assert "SimpleImputer" in error.value.next_step


def test_a_rare_missing_value_is_found_in_a_large_table(write_model: WriteModel) -> None:
    features = pd.DataFrame(np.random.default_rng(0).normal(size=(20_000, 2)), columns=["a", "b"])
    features.loc[19_000, "b"] = np.nan

    with pytest.raises(ModelCodeError, match=r"Columns with missing values: b\."):
        check(write_model, "LogisticRegression()", Rows(features=features, target=(features["a"] > 0).astype(int)))


@pytest.mark.parametrize(
    "body", ["make_pipeline(PCA(4), LogisticRegression(max_iter=500))", "KNeighborsClassifier(120)"]
)
def test_a_model_that_needs_more_rows_than_the_first_sample_passes(write_model: WriteModel, body: str) -> None:
    model = check(write_model, body)

    assert set(model.classes_) == {0, 1, 2}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("make_pipeline(Doubled(), LogisticRegression())", "own_model.Doubled (step doubled)"),
        (
            "make_pipeline(FunctionTransformer(lambda rows: rows * 2), LogisticRegression())",
            "own_model.<lambda> (step functiontransformer > func)",
        ),
    ],
)
def test_a_transformer_that_serving_could_not_load_is_named_before_the_fit(
    write_model: WriteModel, body: str, message: str
) -> None:
    with pytest.raises(ModelCodeError) as error:
        check(write_model, body)

    assert message in error.value.detail
    assert "ColumnTransformer" in error.value.next_step


@pytest.mark.parametrize(
    "body",
    [
        "make_pipeline(PCA(2), ensemble.RandomForestClassifier(5000))",
        "ensemble.HistGradientBoostingClassifier(max_iter=5000)",
        "ensemble.StackingClassifier([('boosting', ensemble.GradientBoostingClassifier(n_estimators=5000))], cv=2)",
    ],
)
def test_a_large_ensemble_has_few_trees_in_the_check(write_model: WriteModel, body: str) -> None:
    model = check(write_model, body)

    parameters = model.get_params(deep=True)
    counts = [value for name, value in parameters.items() if name.endswith(("n_estimators", "boosting__max_iter"))]
    assert {*counts, parameters.get("max_iter", 10)} == {10}


def test_several_answers_per_row_are_refused(write_model: WriteModel) -> None:
    with pytest.raises(ModelCodeError, match=r"with an array of shape \(\d+, 2\)"):
        check(write_model, "Wide()")
