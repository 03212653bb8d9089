"""Models of a user's own code are searched, judged, loaded and answered exactly, on a real platform."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from app import names
from app.models.registry import Registry
from app.settings import settings
from tests.support.local import LocalFolder
from tests.support.own_models import data

PROJECT = Path(data.__file__).parent
ROW_COUNT = 1000


@dataclass(frozen=True)
class Case:
    """A model, its data, and what a search varies."""

    model: str
    data: str
    target: str
    space: str


CASES = {
    "text and gaps": Case("text_and_gaps", "penguins", "species", '{"C": {"low": 0.01, "high": 9}}'),
    "regressor": Case("regressor", "weighed_penguins", "body_mass_g", '{"min_samples_leaf": [1, 3]}'),
    "boosting": Case("boosting", "cells", "target", '{"max_leaf_nodes": [7, 31]}'),
    "stacked": Case("stacked", "wine", "target", '{"C": [0.5, 2.0]}'),
}


@pytest.fixture
def restored_champion(api: httpx.Client) -> Iterator[None]:
    """Load the champion of the platform again after the test."""
    yield
    api.post("/model/load", json={"name": names.MODEL_NAME, "alias": names.CHAMPION}).raise_for_status()


def train(local: LocalFolder, project: Path, case: Case, *options: str) -> dict[str, str]:
    """Train a model in a copy of the user's project, as a user does, and return the result of the job."""
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
    model = ["--model", f"models.py:{case.model}", "--data", f"data.py:{case.data}", "--target", case.target]
    ray = ["--address", local.endpoints.ray_url, "--token", local.endpoints.ray_token]
    process = LocalFolder(project).run("train", *model, *ray, *options)
    assert process.returncode == 0, process.stdout + process.stderr
    result: dict[str, str] = json.loads(process.stdout.splitlines()[-1])
    return result


@pytest.mark.usefixtures("platform", "restored_champion")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_model_of_a_user_is_searched_gated_loaded_and_answered_exactly(
    local: LocalFolder, api: httpx.Client, tmp_path: Path, case: Case
) -> None:
    name = case.model.replace("_", "-")
    search = ["--trials", "2", "--folds", "2", "--space", case.space]
    rows = getattr(data, case.data)().drop(columns=case.target)
    rows = rows.sample(ROW_COUNT, replace=True, random_state=1, ignore_index=True)

    result = train(local, tmp_path / "project", case, "--name", name, *search)
    loaded = api.post("/model/load", json={"name": name}).raise_for_status().json()
    answer = api.post("/predict", json={"rows": records(rows)}).raise_for_status().json()

    assert (result["gate"], loaded["model_info"]["version"]) == ("passed", result["version"])
    registry = Registry(settings().model_copy(update={"mlflow_tracking_uri": local.endpoints.mlflow_url}))
    model = registry.fetch(registry.find(name, version=result["version"])).model
    assert answer["predictions"] == model.predict(rows).tolist()
    expected = model.predict_proba(rows).tolist() if hasattr(model, "predict_proba") else None
    assert answer["probabilities"] == expected


def records(rows: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a frame as JSON objects, with null for a missing value."""
    values: list[dict[str, object]] = rows.astype(object).replace({np.nan: None}).to_dict(orient="records")
    return values
