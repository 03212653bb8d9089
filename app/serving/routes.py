"""The HTTP API of a replica: FastAPI routes over what the replica serves, and problem documents for what fails.

The messages are in `app.serving.schemas`; the OpenAPI document's examples and limits are made in `app.serving.openapi`.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import BackgroundTasks, Depends, FastAPI, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from mlflow.entities.model_registry import ModelVersion
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.errors import MantaError, UnauthorizedError
from app.serving import docs_pages, openapi, schemas, webhook
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.load import Fleet
from app.serving.predict import Predictions
from app.serving.requests import body
from app.serving.requests.limits import RequestLimits
from app.serving.schemas import Health, LoadRequest, LoadResponse, ModelInfo, ModelStatus, PredictResponse

PROBLEM_JSON: Final = "application/problem+json"

PREDICT: Final = "/predict"
"""The busiest path."""

GONE: Final = Response(status_code=499)
"""For a client that hung up before it had sent its request: nobody reads it, and no log needs a traceback."""

LOAD_FORM: Final = '{"name": string, "version": string} or {"name": string, "alias": string}, or no body'
"""The form of a load request, for messages."""


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """What a client must bring."""

    tokens: Sequence[SecretStr]
    """Bearer tokens that `/model/load` accepts, the old and the new while they change; with none it is open."""
    predict_needs_token: bool
    webhook_secret: SecretStr | None
    """What MLflow signs its deliveries with; without one there is no path for them."""


class Api(FastAPI):
    """FastAPI with short cuts past its routing, which takes longer than a prediction."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(**kwargs)
        self.shortcuts: dict[str, Callable[[Request], Awaitable[Response]]] = {}
        """By their paths, what answers POST as its route would, and only raises what it knows."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the short cut of the path, if there is one, and by FastAPI otherwise."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        shortcut = self.shortcuts.get(path) if scope.get("method") == "POST" else None
        if shortcut is None:
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await shortcut(request)
        except MantaError as error:
            response = _expected(request, error)
        except ClientDisconnect:
            response = GONE
        except Exception:
            await _unexpected(request)(scope, receive, send)
            raise
        await response(scope, receive, send)


def create_api(
    fleet: Fleet, follower: AliasFollower, *, limits: RequestLimits, access: AccessRules, threads: int = 1
) -> FastAPI:
    """Make the API of one replica.

    Args:
        fleet: Loads a version on all replicas; its own replica serves.
        follower: Started and stopped with the API, which answers nothing before.
        limits: The most rows and bytes of a request.
        access: What a client must bring.
        threads: Large batches that are answered at once; the CPUs of the replica.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await follower.start()
        yield
        await follower.stop()

    replica = fleet.replica
    predictions = Predictions(replica, follower, limits=limits, threads=threads)
    api = Api(
        title="manta",
        version="1",
        summary="Predictions of the champion of a model registry",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    docs_pages.install(api)
    openapi.install(api, replica, limits)
    _handle_errors(api)
    if not access.predict_needs_token:
        api.shortcuts[PREDICT] = predictions.answer
    authorised = [Depends(_bearer(access.tokens))] if access.tokens else []

    @api.post("/model/load", dependencies=authorised, responses=openapi.LOAD_PROBLEMS)
    async def load(request: Request) -> LoadResponse:
        """Serve a version on every replica and make it the champion, or change nothing and say who refused it."""
        content, _ = await body.read(request, max_bytes=limits.body_bytes)
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
        PREDICT,
        response_model=PredictResponse,
        responses=openapi.PREDICT_PROBLEMS,
        dependencies=authorised if access.predict_needs_token else [],
    )
    async def predict(request: Request) -> Response:
        """Answer rows with predictions and, where the model is a classifier, probabilities.

        Large batches are read faster as what `numpy.save` writes, with the content type `application/x-npy`: an array
        of numbers of shape (rows, columns).
        """
        return await predictions.answer(request)

    @api.get("/model")
    async def model() -> ModelStatus:
        """What every replica serves, and what it refused."""
        replicas = await fleet.report()
        served = replica.served
        return ModelStatus(
            model_loaded=served is not None,
            model_info=_info(served.version) if served else None,
            columns=served.predictor.columns.names if served else [],
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
    # Serve goes through the routes, to name that of each request in its measures.
    api.router.routes.sort(key=lambda route: getattr(route, "path", "") != PREDICT)
    return api


def _receive_webhooks(api: FastAPI, follower: AliasFollower, *, limits: RequestLimits, secret: SecretStr) -> None:
    """Look at the alias at once when MLflow says that it was moved."""

    @api.post("/model/webhook", status_code=HTTPStatus.ACCEPTED, responses=openapi.WEBHOOK_PROBLEMS)
    async def moved(request: Request, tasks: BackgroundTasks) -> None:
        """What MLflow's alias webhook delivers. It makes the fleet look; what it says is not taken on trust."""
        content, _ = await body.read(request, max_bytes=limits.body_bytes)
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
        return _expected(request, error)

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

    @api.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: Exception) -> Response:
        return GONE

    @api.exception_handler(Exception)
    async def unexpected(request: Request, _: Exception) -> Response:
        """A bug: Starlette raises it again after this answer, so that the replica's log holds the traceback."""
        return _unexpected(request)


def _expected(request: Request, error: MantaError) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorizedError) else {}
    return _problem(error.problem(request.url.path), error.status, headers)


def _unexpected(request: Request) -> Response:
    error = MantaError("The request met a defect of the service.", next_step="See the replica's log.")
    return _problem(error.problem(request.url.path), error.status, {})


def _problem(members: dict[str, object], status: int, headers: dict[str, str]) -> Response:
    content = schemas.Problem.model_validate(members).model_dump_json(exclude_none=True)
    return Response(content, status_code=status, headers=headers, media_type=PROBLEM_JSON)
