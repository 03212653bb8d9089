"""The forest behind LitServe, as its documentation serves a model: `python litserve_service.py PORT`."""

import os
import sys

import joblib
import litserve as ls
import numpy as np


class Forest(ls.LitAPI):
    """The service, which keeps the model in memory."""

    def setup(self, device: str) -> None:
        """Load the model."""
        del device
        self.model = joblib.load(os.environ["BENCHMARK_MODEL"])

    def decode_request(self, request: dict[str, list[list[float]]], **_: object) -> np.ndarray:
        """Return the rows of a request."""
        return np.array(request["features"])

    def predict(self, x: np.ndarray, **_: object) -> np.ndarray:
        """Predict probabilities with one call of the model."""
        return self.model.predict_proba(x)

    def encode_response(self, output: np.ndarray, **_: object) -> dict[str, list[object]]:
        """Return labels and probabilities."""
        labels = self.model.classes_[output.argmax(axis=1)]
        return {"predictions": labels.tolist(), "probabilities": output.tolist()}


if __name__ == "__main__":
    ls.LitServer(Forest(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
