"""The HTTP API of a replica: FastAPI routes over what the replica serves, and problem documents for what fails.

The messages are in `app.schemas`; the OpenAPI document's examples and limits are made in `app.openapi`.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.exceptions import HTTPException

from app import body, features, openapi, schemas
from app.errors import MantaError, UnauthorizedError
from app.replica import Replica, Served
from app.schemas import Health, LoadRequest, LoadResponse, ModelInfo, ModelStatus, PredictResponse

PROBLEM_JSON: Final = "application/problem+json"

LOAD_FORM: Final = '{"name": string, "version": string} or {"name": string, "alias": string}, or no body'
"""The form of a load request, for messages."""


def create(replica: Replica, *, limits: openapi.Limits, tokens: Sequence[SecretStr]) -> FastAPI:
    """Make the API of one replica.

    Args:
        replica: What serves.
        limits: The most rows and bytes of a request.
        tokens: Bearer tokens that `/model/load` accepts; with none it is open.
    """
    api = FastAPI(title="manta", version="1", summary="Predictions of the champion of a model registry")
    openapi.install(api, replica, limits)
    _handle_errors(api)
    authorised = [Depends(_bearer(tokens))] if tokens else []

    @api.post("/model/load", dependencies=authorised, responses=openapi.LOAD_PROBLEMS)
    async def load(request: Request) -> LoadResponse:
        """Serve a version and make it the champion. It answers when the version serves, or changes nothing."""
        content = await body.read(request, max_bytes=limits.body_bytes)
        wanted = body.parse(LoadRequest, content, form=LOAD_FORM) if content else LoadRequest()
        served = await replica.load(wanted)
        return LoadResponse(
            model_loaded=True,
            model_info=_info(served),
            mlflow_uri=replica.registry.uri,
            timestamp=schemas.now(),
            replicas=[replica.info],
        )

    @api.post("/predict", response_model=PredictResponse, responses=openapi.PREDICT_PROBLEMS)
    async def predict(request: Request) -> Response:
        """Answer rows with labels and probabilities."""
        content = await body.read(request, max_bytes=limits.body_bytes)
        served = replica.require()
        rows = features.decode(content, max_rows=limits.rows)
        matrix = features.to_matrix(rows, columns=served.predictor.columns)
        labels, probabilities = await asyncio.to_thread(served.predictor.predict, matrix)
        answer = PredictResponse(
            predictions=labels.tolist(),
            probabilities=probabilities.tolist(),
            model_version=str(served.version.version),
            timestamp=schemas.now(),
        )
        return Response(answer.model_dump_json(), media_type=body.JSON)

    @api.get("/model")
    async def model() -> ModelStatus:
        """What is served."""
        served = replica.served
        return ModelStatus(
            model_loaded=served is not None,
            model_info=_info(served) if served else None,
            columns=list(served.predictor.columns) if served else [],
            classes=served.predictor.classes if served else [],
            example=served.example if served else None,
            mlflow_uri=replica.registry.uri,
            timestamp=schemas.now(),
            replicas=[replica.info],
        )

    @api.get("/healthz")
    async def healthz() -> Health:
        """Whether this replica answers; it does before any model is loaded, too."""
        return Health(status="ok", model_version=replica.info.version)

    return api


def _info(served: Served) -> ModelInfo:
    version = served.version
    return ModelInfo(
        name=version.name,
        version=str(version.version),
        stage=version.current_stage or "None",
        description=version.description or "",
        creation_timestamp=version.creation_timestamp,
    )


def _bearer(tokens: Sequence[SecretStr]) -> Callable[..., None]:
    """A dependency that lets a request pass with one of the tokens; comparing takes the same time for any wrong one."""
    accepted = [token.get_secret_value().encode() for token in tokens]
    scheme = HTTPBearer(auto_error=False, description="The token of the stack output `serveToken`.")

    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        given = credentials.credentials.encode() if credentials else b""
        matches = [secrets.compare_digest(given, token) for token in accepted]
        if not any(matches):
            raise UnauthorizedError(
                "The bearer token is not accepted." if credentials else "The request has no bearer token.",
                next_step="Send the header `Authorization: Bearer TOKEN`; the stack output serveToken holds it.",
            )

    return check


def _handle_errors(api: FastAPI) -> None:
    """Answer every failure with a problem document."""

    @api.exception_handler(MantaError)
    async def expected(request: Request, error: MantaError) -> Response:
        headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorizedError) else {}
        return _problem(error.problem(request.url.path), error.status, headers)

    @api.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> Response:
        """What Starlette refuses itself: an unknown path or a wrong method."""
        members = {
            "type": "about:blank",
            "title": error.detail,
            "status": error.status_code,
            "detail": f"{request.method} {request.url.path}: {error.detail}.",
            "instance": request.url.path,
            "next_step": "See /docs for the paths and their methods.",
        }
        return _problem(members, error.status_code, dict(error.headers or {}))

    @api.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> Response:
        """A bug: Starlette raises it again after this answer, so that the replica's log holds the traceback."""
        error = MantaError("The request met a defect of the service.", next_step="See the replica's log.")
        return _problem(error.problem(request.url.path), error.status, {})


def _problem(members: dict[str, object], status: int, headers: dict[str, str]) -> Response:
    content = schemas.Problem.model_validate(members).model_dump_json(exclude_none=True)
    return Response(content, status_code=status, headers=headers, media_type=PROBLEM_JSON)
