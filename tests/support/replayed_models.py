"""Models that answer rows of a bundled data set, for replays of the prediction log."""

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

from tests.support.logged_requests import LoggedVersions

CANCER = load_breast_cancer(as_frame=True)
ROWS = CANCER.data.iloc[:, :4].head(300)
CODES = CANCER.target.head(300)
"""The class of each row as a number."""

LABELS = pd.Series(CANCER.target_names[CODES])
"""The class of each row as text."""

FOREST = RandomForestClassifier(20, random_state=0).fit(ROWS, LABELS)
STUMPS = RandomForestClassifier(3, max_depth=1, random_state=1).fit(ROWS, LABELS)
GUESSES = DummyClassifier(strategy="constant", constant="benign").fit(ROWS, LABELS)


def versions(*models: BaseEstimator, rows: pd.DataFrame = ROWS, metric: str = "") -> LoggedVersions:
    """Versions that all take the same columns."""
    return LoggedVersions(*((model, rows) for model in models), metric=metric)
