"""Trains the models in `own_models` as a user does, and compares the service's answers with those of scikit-learn."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from app.cli.endpoints import Endpoints
from app.settings import settings
from tests.support.json_object import JsonObject
from tests.support.local import MANTA
from tests.support.own_models import data

ROW_COUNT = 1000
BLAS_TOLERANCE = 1e-12
"""Allowed difference between two machines, relative or absolute, for a model that calls BLAS. BLAS chooses its code by
the processor and by variables of the environment, and its sums differ in the last bits."""
TRAIN_TIMEOUT_S = 600


@dataclass(frozen=True)
class Case:
    """A function of `own_models/models.py`, a function of `own_models/data.py`, and what a search varies."""

    model: str
    data: str
    target: str
    space: str
    calls_blas: bool = False

    def rows(self) -> pd.DataFrame:
        """`ROW_COUNT` rows of the data, drawn with replacement, without the target."""
        rows: pd.DataFrame = getattr(data, self.data)().drop(columns=self.target)
        sample = rows.sample(ROW_COUNT, replace=True, random_state=1, ignore_index=True)
        # `sample` stores its rows one after the other, for which BLAS gives other last bits. Files are read by column.
        return pd.DataFrame(dict(sample.items()))


CASES = {
    "text and gaps": Case("text_and_gaps", "penguins", "species", '{"C": {"low": 0.01, "high": 9}}', calls_blas=True),
    "regressor": Case("regressor", "weighed_penguins", "body_mass_g", '{"min_samples_leaf": [1, 3]}'),
    "boosting": Case("boosting", "cells", "target", '{"max_leaf_nodes": [7, 31]}'),
    "stacked": Case("stacked", "wine", "target", '{"C": [0.5, 2.0]}', calls_blas=True),
}
OWN_CLASS = Case("own_transformer", "diabetes", "target", '{"alpha": [0.1, 1.0]}', calls_blas=True)
"""A model with a class of the user, which needs a platform that allows pickles."""


def train(case: Case, project: Path, endpoints: Endpoints, environment: Mapping[str, str]) -> JsonObject:
    """Search and train a model with `manta train` in a new folder, and return the result of the job."""
    shutil.copytree(Path(data.__file__).parent, project, ignore=shutil.ignore_patterns("__pycache__"))
    getattr(data, case.data)().to_parquet(project / "rows.parquet")
    source = ["--model", f"models.py:{case.model}", "--data", "rows.parquet", "--target", case.target]
    search = ["--trials", "2", "--folds", "2", "--space", case.space]
    ray = ["--address", endpoints.ray_url, "--token", endpoints.ray_token]
    process = subprocess.run(
        [MANTA, "train", *source, *search, *ray],
        cwd=project,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=TRAIN_TIMEOUT_S,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    result: JsonObject = json.loads(process.stdout.splitlines()[-1])
    return result


@contextmanager
def model_key(key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process read the pickles that a platform signed with its key."""
    monkeypatch.setenv("MANTA_MODEL_KEY", key)
    settings.cache_clear()
    yield
    monkeypatch.delenv("MANTA_MODEL_KEY")
    settings.cache_clear()


def assert_exact(case: Case, model: BaseEstimator, api: httpx.Client, *, same_machine: bool = True) -> None:
    """Compare the answers of the service with those of scikit-learn in this process, bit for bit.

    Args:
        case: What was trained.
        model: The registered model.
        api: Client of the service.
        same_machine: Whether the service runs on this machine with the same environment. If not, see `BLAS_TOLERANCE`.
    """
    rows = case.rows()
    records = rows.astype(object).replace({np.nan: None}).to_dict(orient="records")
    answer = api.post("/predict", json={"rows": records}).raise_for_status().json()
    tolerance = BLAS_TOLERANCE if case.calls_blas and not same_machine else 0
    predictions = model.predict(rows)
    if predictions.dtype.kind == "f":
        np.testing.assert_allclose(answer["predictions"], predictions, rtol=tolerance, atol=tolerance)
    else:
        assert answer["predictions"] == predictions.tolist()
    if hasattr(model, "predict_proba"):
        probabilities = model.predict_proba(rows)
        np.testing.assert_allclose(answer["probabilities"], probabilities, rtol=tolerance, atol=tolerance)
