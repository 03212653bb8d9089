"""Every estimator of scikit-learn, fitted on real data: classifiers and regressors, and each transformer before one."""

import warnings
from collections.abc import Iterator
from functools import cache
from inspect import Parameter, signature
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris, load_linnerud, load_wine
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.utils import all_estimators

COUNT: Final = 60
"""Rows that an estimator is fitted on."""

Data = tuple[pd.DataFrame, np.ndarray]
"""Rows and the target."""

REFUSED: Final = {"Birch": "skops cannot store its tree of clusters"}
"""Estimators that cannot be stored, and why. The docs have the same table."""

NOT_FOR_ROWS: Final = {
    "DictVectorizer": "takes dictionaries",
    "FeatureHasher": "takes dictionaries",
    "KernelCenterer": "takes a kernel",
    "LabelBinarizer": "transforms labels",
    "LabelEncoder": "transforms labels",
    "MultiLabelBinarizer": "transforms labels",
    "PLSSVD": "gives two arrays in a pipeline",
    "PatchExtractor": "takes images",
    "TSNE": "cannot transform new rows",
}
"""Transformers that cannot stand before a predictor of rows, and why."""

TEXT: Final = frozenset({"CountVectorizer", "HashingVectorizer", "TfidfVectorizer"})
"""Transformers of a column of text."""

TWO_CLASSES: Final = frozenset({"FixedThresholdClassifier", "TunedThresholdClassifierCV"})
"""Classifiers of two classes."""

OUTPUTS: Final = frozenset(
    {
        "CCA",
        "ClassifierChain",
        "MultiOutputClassifier",
        "MultiOutputRegressor",
        "MultiTaskElasticNet",
        "MultiTaskElasticNetCV",
        "MultiTaskLasso",
        "MultiTaskLassoCV",
        "PLSCanonical",
        "RegressorChain",
    }
)
"""Estimators with several outputs."""

PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "ColumnTransformer": {"transformers": [("a", MinMaxScaler(), [0, 1])], "remainder": "passthrough"},
    "DictionaryLearning": {"n_components": 2, "max_iter": 3},
    "FeatureUnion": {"transformer_list": [("a", MinMaxScaler())]},
    "FunctionTransformer": {"func": np.log1p},
    "GaussianRandomProjection": {"n_components": 2},
    "HashingVectorizer": {"n_features": 64},
    "HistGradientBoostingClassifier": {"max_iter": 3},
    "HistGradientBoostingRegressor": {"max_iter": 3},
    "LogisticRegressionCV": {"Cs": 2, "use_legacy_attributes": False},
    "MLPClassifier": {"max_iter": 5},
    "MLPRegressor": {"max_iter": 5},
    "MiniBatchDictionaryLearning": {"n_components": 2, "max_iter": 3},
    "MissingIndicator": {"features": "all"},
    "SelectFromModel": {"threshold": -np.inf},
    "SelectKBest": {"k": 2},
    "SelfTrainingClassifier": {"estimator": LogisticRegression()},
    "SparseCoder": {"dictionary": np.eye(4)},
    "SparseRandomProjection": {"n_components": 2},
    "TransformedTargetRegressor": {"func": np.log1p, "inverse_func": np.expm1},
}
"""Parameters of estimators that need some, or that would take long."""

FAST: Final = {"n_estimators": 3, "n_init": 1, "cv": 2}
"""Parameters that make an estimator fast, where it has them."""


@cache
def iris() -> Data:
    """Rows of positive numbers, and three classes."""
    rows, target = load_iris(return_X_y=True, as_frame=True)
    chosen = np.random.default_rng(0).permutation(len(rows))[:COUNT]
    return rows.iloc[chosen].reset_index(drop=True), np.array(["setosa", "versicolor", "virginica"])[target[chosen]]


@cache
def diabetes() -> Data:
    """Rows, and a positive number to predict."""
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    return rows.head(COUNT), target.head(COUNT).to_numpy()


@cache
def lines() -> Data:
    """Lines of the descriptions of two data sets, and which data set they describe."""
    descriptions = {"iris": load_iris().DESCR, "wine": load_wine().DESCR}
    texts = [(line, name) for name, text in descriptions.items() for line in text.split("\n") if line.count(" ") > 4]
    return pd.DataFrame({"line": [line for line, _ in texts]}), np.array([name for _, name in texts])


def unfitted(name: str) -> tuple[BaseEstimator, Data]:
    """Build the model of an estimator, and say what it is fitted on.

    Args:
        name: Name of the estimator's class.
    """
    rows, species = iris()
    special: dict[str, tuple[BaseEstimator, Data]] = {
        "FrozenEstimator": (FrozenEstimator(LogisticRegression().fit(rows, species)), iris()),
        "IsotonicRegression": (IsotonicRegression(), (diabetes()[0][["bmi"]], diabetes()[1])),
        "Pipeline": (make_pipeline(MinMaxScaler(), LogisticRegression()), iris()),
        "SelfTrainingClassifier": (SelfTrainingClassifier(LogisticRegression()), (rows, species.astype(object))),
    }
    if name in special:
        return special[name]
    estimator_class = dict(all_estimators())[name]
    model = _create(name, estimator_class, LogisticRegression(C=0.5))
    if is_regressor(model):
        data = load_linnerud(return_X_y=True, as_frame=True) if name in OUTPUTS else diabetes()
        return _create(name, estimator_class, Ridge()), data
    if is_classifier(model):
        outputs = np.stack([species == "setosa", rows["sepal width (cm)"] > 3], axis=1).astype(int)  # cm
        target = outputs if name in OUTPUTS else species == "setosa" if name in TWO_CLASSES else species
        return model, (rows, target)
    return _before_a_predictor(name, model)


def _before_a_predictor(name: str, transformer: BaseEstimator) -> tuple[BaseEstimator, Data]:
    if name in TEXT:
        return make_pipeline(ColumnTransformer([("text", transformer, "line")]), LogisticRegression()), lines()
    return make_pipeline(transformer, LogisticRegression()), iris()


def names() -> Iterator[str]:
    """Yield the names of all estimators that can predict rows, alone or before a predictor."""
    for name, estimator_class in all_estimators():
        is_predictor = issubclass(estimator_class, BaseEstimator) and hasattr(estimator_class, "predict")
        if name not in NOT_FOR_ROWS and (hasattr(estimator_class, "transform") or is_predictor) and not _is_other(name):
            yield name


@cache
def _is_other(name: str) -> bool:
    """Whether an estimator predicts clusters, outliers or densities only, and transforms nothing."""
    if name in {"FrozenEstimator", "Pipeline"}:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are deprecated
        model = _create(name, dict(all_estimators())[name], LogisticRegression())
    return not (is_classifier(model) or is_regressor(model) or hasattr(type(model), "transform"))


def _create(name: str, estimator_class: type[BaseEstimator], inner: BaseEstimator) -> BaseEstimator:
    """Build an estimator with fast parameters; its members are `inner`."""
    parameters = signature(estimator_class).parameters
    grid = {"C": [1.0]} if is_classifier(inner) else {"alpha": [1.0]}
    needed = {
        "estimator": inner,
        "estimators": [("a", inner), ("b", inner)],
        "param_grid": grid,
        "param_distributions": grid,
    }
    values = {key: value for key, value in needed.items() if key in parameters and _is_required(parameters[key])}
    values |= {key: value for key, value in FAST.items() if key in parameters}
    if "random_state" in parameters:
        values["random_state"] = 0
    return estimator_class(**(values | PARAMETERS.get(name, {})))


def _is_required(parameter: Parameter) -> bool:
    return parameter.default is Parameter.empty
