"""Writes how the answers of a version compare with other answers to the MLflow run of the version: shadow, replay."""

import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import mlflow
from mlflow.entities import Metric

from app.errors import ModelNotFoundError
from app.models import registry_errors


class ShadowRuns:
    """Writes to the runs of the versions of one registered model.

    Args:
        uri: URL of MLflow.
        model: Name of the registered model.
    """

    def __init__(self, uri: str, model: str) -> None:
        self._uri = uri
        self._model = model

    @cached_property
    def _client(self) -> mlflow.MlflowClient:
        """The client. A model without a shadow needs none, and there may be thousands of models."""
        return mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def log(self, version: str, *, metrics: Mapping[str, float], step: int, documents: Mapping[str, Any]) -> None:
        """Write to the run of a version.

        Args:
            version: Number of the version.
            metrics: Value by name.
            step: Step of these values in the history of the metrics.
            documents: JSON document by its path among the artifacts of the run. The values have any type of JSON.

        Raises:
            ModelNotFoundError: The version or its run was deleted, or the version has no run.
            RegistryUnavailableError: MLflow or its artifact store does not answer.
        """
        missing = f"Version {version} of {self._model!r} has no run in MLflow."
        now_ms = round(1000 * time.time())
        with registry_errors.of_lookup(self._uri, missing):
            run_id = self._client.get_model_version(self._model, version).run_id
            if not run_id:
                raise ModelNotFoundError(missing)
            entities = [Metric(name, value, now_ms, step) for name, value in metrics.items()]
            self._client.log_batch(run_id, metrics=entities)
            for path, document in documents.items():
                self._client.log_dict(run_id, document, path)
