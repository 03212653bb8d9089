"""A program that fits and logs the models whose files the tests edit, for `tests.support.hostile.registered`.

It is a separate process, so that the warnings of libraries do not fail a test. Its argument is the URL of MLflow.
"""

import json
import sys
import warnings
from dataclasses import asdict
from typing import Final

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from app import names
from app.models import artifact
from app.models.registry import Registry
from app.settings import Settings
from tests.support.hostile.registered import BaseModels

COLUMNS: Final = ("length", "width", "height")
ROWS: Final = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=list(COLUMNS))
LABELS: Final = pd.Series(np.where(ROWS["length"] + ROWS["width"] > 0, "big", "small"))
BACKTRACKING: Final = r"^(a+)+$"
"""A pattern of tokens that takes exponential time for a text such as `aaaa!`."""


def _log_all(url: str) -> BaseModels:
    forest = RandomForestClassifier(n_estimators=5, max_depth=4, random_state=1)
    MlflowClient(url, url).create_registered_model(names.MODEL_NAME)
    texts = pd.DataFrame({"text": np.where(LABELS == "big", "a", "aa")})
    pipeline = make_pipeline(
        make_column_transformer((CountVectorizer(token_pattern=BACKTRACKING), "text")), LogisticRegression()
    )
    return BaseModels(
        champion_uri=_log(url, forest),
        forest_uri=_log(url, forest),
        calibrated_uri=_log(url, CalibratedClassifierCV(RandomForestClassifier(3, max_depth=3), cv=2)),
        support_vectors_uri=_log(url, SVC()),
        text_uri=_log(url, pipeline, rows=texts),
        rows=ROWS.head(1).to_numpy().tolist(),
        probabilities=forest.predict_proba(ROWS.head(1)).tolist(),
    )


def _log(url: str, model: BaseEstimator, rows: pd.DataFrame = ROWS) -> str:
    with Registry(Settings(mlflow_tracking_uri=url)).run("hostile", tags={}):
        return artifact.log(model.fit(rows, LABELS), example=rows.head(4), labels=LABELS.head(4))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asdict(_log_all(sys.argv[1]))))  # noqa: T201 - read by `registered.log_in_subprocess`
