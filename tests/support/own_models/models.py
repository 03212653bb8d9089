"""Models as a user writes them, for the tests that train and serve them. The folder is a user's project."""

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor, StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC


def columns() -> BaseEstimator:
    """Encode text, scale numbers and fill missing values in both."""
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return make_column_transformer(
        (text, make_column_selector(dtype_exclude="number")), (numbers, make_column_selector(dtype_include="number"))
    )


def text_and_gaps(C: float = 1.0) -> Pipeline:  # noqa: N803 - scikit-learn's name
    return make_pipeline(columns(), LogisticRegression(C=C, max_iter=1000))


def regressor(n_estimators: int = 40, min_samples_leaf: int = 1) -> Pipeline:
    return make_pipeline(columns(), RandomForestRegressor(n_estimators, min_samples_leaf=min_samples_leaf))


def boosting(learning_rate: float = 0.1, max_leaf_nodes: int = 31) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(learning_rate=learning_rate, max_leaf_nodes=max_leaf_nodes, max_iter=40)


def stacked(C: float = 1.0) -> Pipeline:  # noqa: N803 - scikit-learn's name
    members = [("svc", SVC(C=C)), ("bayes", GaussianNB())]
    return make_pipeline(StandardScaler(), StackingClassifier(members, LogisticRegression(max_iter=1000), cv=3))


class PressureOfMass(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """Add a column: the blood pressure divided by the body mass index."""

    def fit(self, features: pd.DataFrame, target: pd.Series | None = None) -> "PressureOfMass":  # noqa: ARG002 - the interface
        return self

    def transform(self, features: pd.DataFrame) -> pd.DataFrame:
        return features.assign(pressure_of_mass=features["bp"] / features["bmi"])


def own_transformer(alpha: float = 1.0) -> Pipeline:
    return make_pipeline(PressureOfMass(), StandardScaler(), Ridge(alpha=alpha))
