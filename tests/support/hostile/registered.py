"""Models in MLflow whose files the tests edit, and their versions."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from app import names
from tests.support.json_object import JsonObject
from tests.support.traffic import NO_TLS

PROGRAM: Final = "tests.support.hostile.fitted_models"
"""The program that fits and logs the models."""


@dataclass(frozen=True, kw_only=True)
class BaseModels:
    """URIs of the logged models."""

    champion_uri: str
    """A forest that no test edits."""
    forest_uri: str
    calibrated_uri: str
    """Forests inside a `CalibratedClassifierCV`."""
    support_vectors_uri: str
    text_uri: str
    """A pipeline that splits the text of a column by a pattern that takes exponential time for `aaaa!`."""
    rows: list[list[float]]
    """The row of an honest request."""
    probabilities: list[list[float]]
    """The champion's probabilities for `rows`."""


@dataclass(frozen=True, kw_only=True)
class ModelStore:
    """MLflow with its artifacts in a local folder.

    Args:
        url: URL of MLflow.
        artifacts: The folder.
    """

    url: str
    artifacts: Path

    def log_models(self) -> BaseModels:
        """Fit and log all models in a separate process."""
        process = subprocess.run(
            [sys.executable, "-m", PROGRAM, self.url],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert process.returncode == 0, process.stderr
        return BaseModels(**json.loads(process.stdout.splitlines()[-1]))

    def register(self, uri: str) -> str:
        """Register a logged model as the next version, and return its number. All such versions share their files."""
        message = {"name": names.MODEL_NAME, "source": uri, "model_id": uri.removeprefix("models:/")}
        return str(self._post("model-versions/create", message)["model_version"]["version"])

    def move_alias(self, version: str) -> None:
        """Move the alias of the champion to a version."""
        message = {"name": names.MODEL_NAME, "alias": names.CHAMPION, "version": version}
        self._post("registered-models/alias", message)

    def files(self, uri: str) -> Path:
        """The folder of a logged model's files."""
        model_id = uri.removeprefix("models:/")
        [model_file] = [path for path in self.artifacts.rglob("MLmodel") if model_id in path.parts]
        return model_file.parent

    def _post(self, method: str, message: dict[str, str]) -> JsonObject:
        answer = httpx.post(f"{self.url}/api/2.0/mlflow/{method}", json=message, timeout=60, verify=NO_TLS)
        content: JsonObject = answer.raise_for_status().json()
        return content
