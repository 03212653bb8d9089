"""The paths of the Open Inference Protocol and of MLflow's scoring protocol that do not predict."""

from http import HTTPStatus
from importlib.metadata import version as installed_version
from typing import Any, Final

import mlflow.version
from fastapi import Request, Response
from fastapi.responses import JSONResponse

from app.errors import MantaError
from app.serving import protocol_openapi
from app.serving.access import AccessRules
from app.serving.api import Api
from app.serving.catalog.catalog import Catalog
from app.serving.protocols import mlflow_scoring, open_inference
from app.serving.protocols.open_inference import ROOT

SERVER: Final = {"name": "manta", "extensions": ["binary_tensor_data"]}
"""Metadata of the server, beside its version."""

READY: Final = "ready"


def install(api: Api, catalog: Catalog, access: AccessRules) -> None:
    """Add the paths to an API.

    A description of a model may load the model, so that it needs the token that predictions need.
    """
    _add_open_inference(api, catalog, access)
    _add_mlflow(api, catalog)


def _add_open_inference(api: Api, catalog: Catalog, access: AccessRules) -> None:
    security = access.prediction_security

    @api.get(ROOT)
    async def server_metadata() -> dict[str, Any]:
        """Return name, version and extensions of the server in the Open Inference Protocol."""
        return SERVER | {"version": installed_version("manta")}

    @api.get(f"{ROOT}/health/live")
    async def live() -> dict[str, bool]:
        """Return whether the server answers."""
        return {"live": True}

    @api.get(f"{ROOT}/health/ready", responses=protocol_openapi.NOT_READY)
    async def ready() -> Response:
        """Return whether the default model serves."""
        is_ready = catalog.default.served is not None
        return JSONResponse({READY: is_ready}, HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)

    @api.get(f"{ROOT}/models/{{name}}", responses=protocol_openapi.MODEL_PROBLEMS, dependencies=security)
    async def model_metadata(request: Request, name: str) -> dict[str, Any]:
        """Return inputs and outputs of a model."""
        access.check_prediction(request.headers, name)
        served = await catalog.source(name).require()
        return open_inference.metadata(served, [str(served.version.version)])

    @api.get(
        f"{ROOT}/models/{{name}}/versions/{{version}}", responses=protocol_openapi.MODEL_PROBLEMS, dependencies=security
    )
    async def version_metadata(request: Request, name: str, version: str) -> dict[str, Any]:
        """Return inputs and outputs of a version of a model."""
        access.check_prediction(request.headers, name)
        served = await catalog.source(name, version).require()
        return open_inference.metadata(served, [version])

    @api.get(f"{ROOT}/models/{{name}}/ready", responses=protocol_openapi.MODEL_PROBLEMS, dependencies=security)
    async def model_ready(request: Request, name: str) -> Response:
        """Return whether a model answers."""
        access.check_prediction(request.headers, name)
        return await _readiness(catalog, name, None)

    @api.get(
        f"{ROOT}/models/{{name}}/versions/{{version}}/ready",
        responses=protocol_openapi.MODEL_PROBLEMS,
        dependencies=security,
    )
    async def version_ready(request: Request, name: str, version: str) -> Response:
        """Return whether a version of a model answers."""
        access.check_prediction(request.headers, name)
        return await _readiness(catalog, name, version)


async def _readiness(catalog: Catalog, name: str, version: str | None) -> Response:
    """Answer whether a model answers.

    Raises:
        ModelNotFoundError: The service does not serve the model or the version.
    """
    try:
        await catalog.source(name, version).require()
    except MantaError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            raise
        return JSONResponse({"name": name, READY: False, "error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
    return JSONResponse({"name": name, READY: True})


def _add_mlflow(api: Api, catalog: Catalog) -> None:
    async def ping() -> Response:
        """Return whether the default model serves, as `mlflow models serve` does."""
        is_ready = catalog.default.served is not None
        return Response(
            "\n", HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE, media_type="application/json"
        )

    api.get(mlflow_scoring.PING, responses=protocol_openapi.NOT_READY)(ping)
    api.get(mlflow_scoring.HEALTH, responses=protocol_openapi.NOT_READY)(ping)

    @api.get(mlflow_scoring.VERSION)
    async def version() -> Response:
        """Return the version of MLflow."""
        return Response(mlflow.version.VERSION, media_type="application/json")
