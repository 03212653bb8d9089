"""The HTTP API of a replica: FastAPI routes over what the replica serves, and problem documents for what fails.

The messages are in `app.schemas`; the OpenAPI document's examples and limits are made in `app.openapi`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import BackgroundTasks, Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from mlflow.entities.model_registry import ModelVersion
from pydantic import SecretStr
from starlette.exceptions import HTTPException

from app import body, features, openapi, schemas, webhook
from app.errors import MantaError, UnauthorizedError
from app.fleet import Fleet
from app.follow import Follower
from app.schemas import Health, LoadRequest, LoadResponse, ModelInfo, ModelStatus, PredictResponse

PROBLEM_JSON: Final = "application/problem+json"

LOAD_FORM: Final = '{"name": string, "version": string} or {"name": string, "alias": string}, or no body'
"""The form of a load request, for messages."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a client must bring."""

    tokens: Sequence[SecretStr]
    """Bearer tokens that `/model/load` accepts, the old and the new while they change; with none it is open."""
    predict_needs_token: bool
    webhook_secret: SecretStr | None
    """What MLflow signs its deliveries with; without one there is no path for them."""


def create(fleet: Fleet, follower: Follower, *, limits: openapi.Limits, access: Access) -> FastAPI:
    """Make the API of one replica.

    Args:
        fleet: Loads a version on all replicas; its own replica serves.
        follower: Started and stopped with the API, which answers nothing before.
        limits: The most rows and bytes of a request.
        access: What a client must bring.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await follower.start()
        yield
        await follower.stop()

    replica = fleet.replica
    api = FastAPI(
        title="manta", version="1", summary="Predictions of the champion of a model registry", lifespan=lifespan
    )
    openapi.install(api, replica, limits)
    _handle_errors(api)
    authorised = [Depends(_bearer(access.tokens))] if access.tokens else []

    @api.post("/model/load", dependencies=authorised, responses=openapi.LOAD_PROBLEMS)
    async def load(request: Request) -> LoadResponse:
        """Serve a version on every replica and make it the champion, or change nothing and say who refused it."""
        content = await body.read(request, max_bytes=limits.body_bytes)
        wanted = body.parse(LoadRequest, content, form=LOAD_FORM) if content else LoadRequest()
        version, replicas = await fleet.load(wanted)
        return LoadResponse(
            model_loaded=True,
            model_info=_info(version),
            mlflow_uri=replica.registry.uri,
            timestamp=schemas.now(),
            replicas=replicas,
        )

    @api.post(
        "/predict",
        response_model=PredictResponse,
        responses=openapi.PREDICT_PROBLEMS,
        dependencies=authorised if access.predict_needs_token else [],
    )
    async def predict(request: Request) -> Response:
        """Answer rows with predictions and, where the model is a classifier, probabilities."""
        content = await body.read(request, max_bytes=limits.body_bytes)
        await follower.confirm()
        served = replica.require()
        rows = features.decode(content, max_rows=limits.rows)
        matrix = features.to_matrix(rows, columns=served.predictor.columns)
        labels, probabilities = await asyncio.to_thread(served.predictor.predict, matrix)
        answer = PredictResponse(
            predictions=labels.tolist(),
            probabilities=None if probabilities is None else probabilities.tolist(),
            model_version=str(served.version.version),
            timestamp=schemas.now(),
        )
        return Response(answer.model_dump_json(), media_type=body.JSON)

    @api.get("/model")
    async def model() -> ModelStatus:
        """What every replica serves, and what it refused."""
        replicas = await fleet.report()
        served = replica.served
        return ModelStatus(
            model_loaded=served is not None,
            model_info=_info(served.version) if served else None,
            columns=[column.name for column in served.predictor.columns] if served else [],
            classes=served.predictor.classes if served else [],
            example=served.example if served else None,
            mlflow_uri=replica.registry.uri,
            timestamp=schemas.now(),
            replicas=replicas,
        )

    @api.get("/healthz")
    async def healthz() -> Health:
        """Whether this replica answers; it does before any model is loaded, too."""
        return Health(status="ok", model_version=replica.info.version, trouble=follower.trouble or None)

    if access.webhook_secret is not None:
        _receive_webhooks(api, follower, limits=limits, secret=access.webhook_secret)
    return api


def _receive_webhooks(api: FastAPI, follower: Follower, *, limits: openapi.Limits, secret: SecretStr) -> None:
    """Look at the alias at once when MLflow says that it was moved."""

    @api.post("/model/webhook", status_code=HTTPStatus.ACCEPTED, responses=openapi.WEBHOOK_PROBLEMS)
    async def moved(request: Request, tasks: BackgroundTasks) -> None:
        """What MLflow's alias webhook delivers. It makes the fleet look; what it says is not taken on trust."""
        content = await body.read(request, max_bytes=limits.body_bytes)
        webhook.verify(request.headers, content, secret=secret)
        tasks.add_task(follower.poll)


def _info(version: ModelVersion) -> ModelInfo:
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
