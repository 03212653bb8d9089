"""The forest behind BentoML, as its documentation serves a model: `bentoml serve bentoml_service:Forest`."""

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1)
class Forest:
    """The service, which keeps the model in memory."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["BENCHMARK_MODEL"])

    @bentoml.api
    def predict(self, features: list[list[float]]) -> dict:
        """Predict labels and probabilities with one call of the model."""
        probabilities = self.model.predict_proba(np.array(features))
        labels = self.model.classes_[probabilities.argmax(axis=1)]
        return {"predictions": labels.tolist(), "probabilities": probabilities.tolist()}
