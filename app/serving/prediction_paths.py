"""The paths that predict, of every protocol. `app.serving.predict` answers the requests.

Each path has a route of FastAPI, which describes it in the OpenAPI document, and the same function as a direct handler.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

from fastapi import Request, Response

from app.serving import openapi, problem_openapi, protocol_openapi
from app.serving.access import AccessRules
from app.serving.api import Api
from app.serving.catalog.catalog import Catalog
from app.serving.predict import PredictionHandler
from app.serving.protocols import mlflow_scoring, open_inference, rows
from app.serving.protocols.wire import Wire
from app.serving.schemas import PredictResponse

PREDICT: Final = "/predict"
"""Path of predictions, by far the most frequent request."""

INFER: Final = f"{open_inference.ROOT}/models/{{name}}/infer"
INFER_VERSION: Final = f"{open_inference.ROOT}/models/{{name}}/versions/{{version}}/infer"


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Answers prediction requests of every protocol.

    Args:
        handler: Reads the body and runs the model.
        catalog: The models by name.
        access: Which requests are accepted.
    """

    handler: PredictionHandler
    catalog: Catalog
    access: AccessRules

    async def answer(
        self, request: Request, wire: Wire, *, name: str | None = None, version: str | None = None
    ) -> Response:
        """Answer a request.

        Args:
            request: The request.
            wire: Its protocol.
            name: Name of the registered model; None for the default model.
            version: Number of the version; None for the one that serves.
        """
        self.access.check_prediction(request.headers, name or self.catalog.default.name)
        return await self.handler.handle(request, self.catalog.source(name, version), wire)


def install(api: Api, predictions: Predictions) -> None:
    """Add the paths to an API."""
    security = predictions.access.prediction_security

    @api.post(
        PREDICT, response_model=PredictResponse, responses=problem_openapi.PREDICT_PROBLEMS, dependencies=security
    )
    async def predict(request: Request) -> Response:
        """Predict rows. A classifier that gives probabilities returns them too.

        Large batches are faster in the format of `numpy.save`, with the content type `application/x-npy`: an array of
        numbers of shape (rows, columns).
        """
        return await predictions.answer(request, rows.WIRE)

    @api.post(
        openapi.NAMED_PREDICT,
        response_model=PredictResponse,
        responses=problem_openapi.NAMED_PREDICT_PROBLEMS,
        dependencies=security,
    )
    async def predict_with_model(request: Request, name: str) -> Response:
        """Predict rows with a model by its name. The first request loads the model, and waits for it up to 10 s."""
        return await predictions.answer(request, rows.WIRE, name=name)

    @api.post(
        openapi.VERSION_PREDICT,
        response_model=PredictResponse,
        responses=problem_openapi.NAMED_PREDICT_PROBLEMS,
        dependencies=security,
    )
    async def predict_with_version(request: Request, name: str, version: str) -> Response:
        """Predict rows with a version by its number, whichever version serves. The first request loads the version."""
        return await predictions.answer(request, rows.WIRE, name=name, version=version)

    @api.post(mlflow_scoring.INVOCATIONS, responses=protocol_openapi.INVOCATION_ANSWERS, dependencies=security)
    async def invocations(request: Request) -> Response:
        """Predict rows in MLflow's scoring protocol, as `mlflow models serve` does."""
        return await predictions.answer(request, mlflow_scoring.WIRE)

    @api.post(INFER, responses=protocol_openapi.INFERENCE_ANSWERS, dependencies=security)
    async def infer(request: Request, name: str) -> Response:
        """Predict the rows of tensors in the Open Inference Protocol."""
        return await predictions.answer(request, open_inference.WIRE, name=name)

    @api.post(INFER_VERSION, responses=protocol_openapi.INFERENCE_ANSWERS, dependencies=security)
    async def infer_version(request: Request, name: str, version: str) -> Response:
        """Predict the rows of tensors with a version by its number."""
        return await predictions.answer(request, open_inference.WIRE, name=name, version=version)

    for path, wire in ((PREDICT, rows.WIRE), (mlflow_scoring.INVOCATIONS, mlflow_scoring.WIRE)):
        api.handle_directly(path, partial(predictions.answer, wire=wire))
    for path in (openapi.NAMED_PREDICT, openapi.VERSION_PREDICT):
        api.handle_directly(path, partial(predictions.answer, wire=rows.WIRE))
    for path in (INFER, INFER_VERSION):
        api.handle_directly(path, partial(predictions.answer, wire=open_inference.WIRE))
