"""Model versions for the tests of the fleet, and their predictions.

The module is run as a program in a separate process, so that the warnings of libraries do not fail a test. Its argument
is the URL of MLflow.
"""

import json
import sys
from dataclasses import asdict, dataclass
from unittest import mock

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from app import names
from app.models import artifact
from app.models.registry import Registry
from app.settings import Settings
from tests.support.module_process import run_module

COLUMNS = ("length", "width", "height")
ROWS = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 3)), columns=list(COLUMNS))
LABELS = pd.Series(np.where(ROWS["length"] + ROWS["width"] > 0, "big", "small"))
REQUEST_ROWS = ROWS.head(3).to_numpy().tolist()
"""The rows of a test's prediction request."""


@dataclass(frozen=True)
class Versions:
    """The numbers of the registered versions."""

    first: str
    second: str
    pipeline: str
    regressor: str
    text: str
    inconsistent: str
    """A forest stored with the predictions of another forest. Every replica refuses it."""
    answers: dict[str, list[list[float]]]
    """The probabilities for `REQUEST_ROWS`, by the numbers of `first` and `second`."""


def fitted_forest(
    seed: int, trees: int = 5, rows: pd.DataFrame = ROWS, labels: pd.Series = LABELS
) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=trees, max_depth=4, random_state=seed).fit(rows, labels)


def register(
    url: str,
    model: BaseEstimator,
    rows: pd.DataFrame = ROWS,
    labels: pd.Series = LABELS,
    name: str = names.MODEL_NAME,
) -> str:
    """Log a fitted model as training does, register it, and return the number of the version."""
    registry = Registry(Settings(mlflow_tracking_uri=url))
    with registry.run("fleet", tags={}):
        uri = artifact.log(model, example=rows.head(4), labels=labels.head(4))
        return str(registry.register(name, model_uri=uri, description="", tags={}).version)


def register_all(url: str) -> Versions:
    """Register all versions."""
    forests = {register(url, model): model for model in (fitted_forest(1), fitted_forest(2))}
    first, second = forests
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)
    length_model = HistGradientBoostingRegressor(max_iter=5).fit(ROWS, ROWS["length"])
    colours = ROWS[["length"]].assign(colour=np.where(ROWS["width"] > 0, "red", "blue"))
    encoded = make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["colour"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(colours, LABELS)
    return Versions(
        first=first,
        second=second,
        pipeline=register(url, scaled),
        regressor=register(url, length_model, labels=ROWS["length"]),
        text=register(url, encoded, rows=colours),
        inconsistent=register_inconsistent(url),
        answers={version: model.predict_proba(ROWS.head(3)).tolist() for version, model in forests.items()},
    )


def register_inconsistent(url: str, name: str = names.MODEL_NAME) -> str:
    """Register a forest with the predictions of another forest."""
    model, other_probabilities = fitted_forest(3), fitted_forest(4).predict_proba(ROWS.head(4))
    with mock.patch.object(RandomForestClassifier, "predict_proba", return_value=other_probabilities):
        return register(url, model, name=name)


def register_in_subprocess(url: str) -> Versions:
    """Register all versions in a separate process."""
    return Versions(**json.loads(run_module(__name__, url)))


if __name__ == "__main__":
    print(json.dumps(asdict(register_all(sys.argv[1]))))  # noqa: T201 - read by `register_in_subprocess`
