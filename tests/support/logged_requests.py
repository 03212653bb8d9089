"""Requests that versions answered, in a prediction log in memory, and a registry of these versions."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag
from sklearn.base import BaseEstimator

from app.errors import ModelNotFoundError
from app.models.artifact import Artifact
from app.models.frames import to_rows
from app.models.predictor import compile_model
from app.models.signature import infer_columns
from app.records.log_files import FEEDBACK_SCHEMA, NO_VERSION, LogFile
from app.serving.prediction_log.buffer import Buffer
from app.serving.prediction_log.prediction_table import prediction_table
from tests.support.fake_models import reply_of, request_with_id, served_model
from tests.support.memory_log import MemoryStore

IN_THE_FUTURE_MS = 4_000_000_000_000
"""In the year 2096, so that a file is in every period."""

Value = bool | int | float | str


class LoggedVersions:
    """A registry of fitted models, with the numbers 1, 2, ..., and the log of what they answered.

    Args:
        models: A model and the rows that it takes, for each version.
        metric: Metric of the gate of each version; empty without one.
    """

    uri = "http://127.0.0.1:9"

    def __init__(self, *models: tuple[BaseEstimator, pd.DataFrame], metric: str = "") -> None:
        self.store = MemoryStore()
        self._models = models
        self._tags = [ModelVersionTag("gate.metric", metric)] if metric else []  # type: ignore[no-untyped-call] # MLflow's class has no types

    def find(self, name: str, *, version: str) -> ModelVersion:
        if not version.isdigit() or int(version) > len(self._models):
            raise ModelNotFoundError(f"There is no version {version} of {name!r}.")
        return ModelVersion(name=name, version=version, creation_timestamp=0, tags=self._tags)

    def fetch(self, version: ModelVersion) -> Artifact:
        model, rows = self._models[int(version.version) - 1]
        return Artifact(
            model=model,
            columns=infer_columns(rows),
            example=rows.head(2),
            example_predictions=None,
            example_probabilities=None,
            example_labels=[],
        )

    def answer(
        self,
        number: str,
        *requests: pd.DataFrame,
        labels: Sequence[Value] = (),
        kept: Sequence[str] = (),
    ) -> None:
        """Let a version answer requests, and log them.

        Args:
            number: Number of the version.
            requests: The rows of each request. The ids of the requests are `1-0`, `1-1` and so on for version 1.
            labels: Labels of the rows of the first request.
            kept: Columns that the log keeps; empty for all.
        """
        predictor = compile_model(self.fetch(self.find("m", version=number)), label="m")
        buffer, served = Buffer(), replace(served_model(number), predictor=predictor)
        for index, request in enumerate(requests):
            rows = to_rows(request, predictor.columns)
            reply = reply_of(served, predictor.predict(rows))
            buffer.record(request_with_id(f"{number}-{index}".encode()), rows, reply, "champion", rows.nbytes)
        for batch in buffer.batches():
            self._put("predictions", number, prediction_table(batch, batch.join_all(), kept=kept))
        if labels:
            columns = {
                "request_id": [f"{number}-0"] * len(labels),
                "row": list(range(len(labels))),
                "time": [0] * len(labels),
                "label": [json.dumps(value.item() if isinstance(value, np.generic) else value) for value in labels],
            }
            self._put("feedback", NO_VERSION, pa.table(columns, schema=FEEDBACK_SCHEMA))

    def _put(self, kind: str, version: str, table: pa.Table) -> None:
        file = LogFile(
            kind="predictions" if kind == "predictions" else "feedback",
            model="m" if kind == "predictions" else NO_VERSION,
            version=version,
            time_ms=IN_THE_FUTURE_MS + len(self.store.tables),
            rows=table.num_rows,
            writer="r",
        )
        self.store.tables[file] = table
