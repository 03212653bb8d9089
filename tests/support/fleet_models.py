"""Model versions that the fleet's tests register, and what each of them answers.

Run as a program with MLflow's address, in a process of its own: what libraries warn about there fails no test.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
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

COLUMNS = ("length", "width", "height")
ROWS = pd.DataFrame(np.random.default_rng(0).normal(size=(400, 3)), columns=list(COLUMNS))
LABELS = pd.Series(np.where(ROWS["length"] + ROWS["width"] > 0, "big", "small"))
SENT = ROWS.head(3).to_numpy().tolist()
"""The rows that a test sends."""


@dataclass(frozen=True)
class Versions:
    """Numbers of the registered versions."""

    first: str
    second: str
    pipeline: str
    regressor: str
    text: str
    wrong: str
    """A forest whose recorded answers are not its own: every replica refuses it."""
    answers: dict[str, list[list[float]]]
    """The probabilities that `first` and `second` give for `SENT`."""


def forest(seed: int, trees: int = 5, rows: pd.DataFrame = ROWS, labels: pd.Series = LABELS) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=trees, max_depth=4, random_state=seed).fit(rows, labels)


def register(url: str, model: BaseEstimator, rows: pd.DataFrame = ROWS, labels: pd.Series = LABELS) -> str:
    """Log a fitted model as training does, and make it the next version; its number is returned."""
    registry = Registry(Settings(mlflow_tracking_uri=url))
    with registry.run("fleet", tags={}):
        uri = artifact.log(model, example=rows.head(4), labels=labels.head(4))
        return str(registry.register(names.MODEL_NAME, model_uri=uri, description="", tags={}).version)


def register_all(url: str) -> Versions:
    """Register every version that the tests load."""
    forests = {register(url, model): model for model in (forest(1), forest(2))}
    first, second = forests
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)
    height = HistGradientBoostingRegressor(max_iter=5).fit(ROWS, ROWS["length"])
    colours = ROWS[["length"]].assign(colour=np.where(ROWS["width"] > 0, "red", "blue"))
    encoded = make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["colour"]), remainder="passthrough"),
        LogisticRegression(),
    ).fit(colours, LABELS)
    return Versions(
        first=first,
        second=second,
        pipeline=register(url, scaled),
        regressor=register(url, height, labels=ROWS["length"]),
        text=register(url, encoded, rows=colours),
        wrong=register_wrong(url),
        answers={version: model.predict_proba(ROWS.head(3)).tolist() for version, model in forests.items()},
    )


def register_wrong(url: str) -> str:
    """Register a forest beside answers that another forest gave."""
    model, others = forest(3), forest(4).predict_proba(ROWS.head(4))
    with mock.patch.object(RandomForestClassifier, "predict_proba", return_value=others):
        return register(url, model)


def registered(url: str) -> Versions:
    """Register every version in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, url],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Versions(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(asdict(register_all(sys.argv[1]))))  # noqa: T201 - read by `registered`
