"""The HTTP API of a replica: its FastAPI routes, and problem documents for every error.

The messages are in `app.serving.schemas`, and the OpenAPI document is completed in `app.serving.openapi`.
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
from app.serving.predict import PredictionHandler
from app.serving.requests import body
from app.serving.requests.limits import RequestLimits
from app.serving.schemas import Health, LoadRequest, LoadResponse, ModelInfo, ModelStatus, PredictResponse

PROBLEM_JSON: Final = "application/problem+json"

PREDICT: Final = "/predict"
"""Path of predictions, by far the most frequent request."""

CLIENT_CLOSED_REQUEST: Final = Response(status_code=499)
"""Answer if the client disconnects while it sends the body. It reaches no client, but avoids a traceback in the log."""

LOAD_FORM: Final = '{"name": string, "version": string} or {"name": string, "alias": string}, or no body'
"""The forms of a load request, for error messages."""


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """What a request must contain to be accepted."""

    tokens: Sequence[SecretStr]
    """Bearer tokens that `/model/load` accepts. Several are listed while a token is being replaced. Empty: no token is
    required."""
    predict_needs_token: bool
    webhook_secret: SecretStr | None
    """Secret that MLflow signs webhook deliveries with. None: `/model/webhook` does not exist."""


class Api(FastAPI):
    """FastAPI with direct handlers for some paths, because FastAPI's routing takes longer than a prediction."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - FastAPI's
        super().__init__(**kwargs)
        self.direct_handlers: dict[str, Callable[[Request], Awaitable[Response]]] = {}
        """Handlers of POST requests by path. A handler answers exactly as the route of that path does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the direct handler of the path, or with FastAPI if there is none."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        handler = self.direct_handlers.get(path) if scope.get("method") == "POST" else None
        if handler is None:
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await handler(request)
        except MantaError as error:
            response = _error_response(request, error)
        except ClientDisconnect:
            response = CLIENT_CLOSED_REQUEST
        except Exception:
            await _defect_response(request)(scope, receive, send)
            raise
        await response(scope, receive, send)


def create_api(
    fleet: Fleet, follower: AliasFollower, *, limits: RequestLimits, access: AccessRules, threads: int = 1
) -> FastAPI:
    """Build the API of one replica.

    Args:
        fleet: Loads a version on all replicas. `fleet.replica` is the replica that answers here.
        follower: Starts and stops with the API. The API answers no request before it has started.
        limits: Maximum rows and bytes of a request.
        access: What a request must contain to be accepted.
        threads: Number of large batches that run at the same time.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await follower.start()
        yield
        await follower.stop()

    replica = fleet.replica
    prediction_handler = PredictionHandler(replica, follower, limits=limits, threads=threads)
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
    _add_error_handlers(api)
    if not access.predict_needs_token:
        api.direct_handlers[PREDICT] = prediction_handler.handle
    token_check = [Depends(_bearer_check(access.tokens))] if access.tokens else []

    @api.post("/model/load", dependencies=token_check, responses=openapi.LOAD_PROBLEMS)
    async def load(request: Request) -> LoadResponse:
        """Serve a version on every replica and make it the champion. If a replica refuses it, nothing changes."""
        content, _ = await body.read(request, max_bytes=limits.body_bytes)
        load_request = body.parse(LoadRequest, content, form=LOAD_FORM) if content else LoadRequest()
        version, replicas = await fleet.load(load_request)
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
        dependencies=token_check if access.predict_needs_token else [],
    )
    async def predict(request: Request) -> Response:
        """Predict rows. A classifier that gives probabilities returns them too.

        Large batches are faster in the format of `numpy.save`, with the content type `application/x-npy`: an array of
        numbers of shape (rows, columns).
        """
        return await prediction_handler.handle(request)

    @api.get("/model")
    async def model() -> ModelStatus:
        """Return the served model, what each replica serves, and which version it refused."""
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
        """Return whether this replica answers. It does so before a model is loaded too."""
        return Health(status="ok", model_version=replica.served_version, trouble=follower.trouble or None)

    if access.webhook_secret is not None:
        _add_webhook(api, follower, limits=limits, secret=access.webhook_secret)
    # Serve's metrics search the routes of each request in order, so the most frequent one comes first.
    api.router.routes.sort(key=lambda route: getattr(route, "path", "") != PREDICT)
    return api


def _add_webhook(api: FastAPI, follower: AliasFollower, *, limits: RequestLimits, secret: SecretStr) -> None:
    """Add the path of MLflow's webhook, which makes the fleet read the alias at once."""

    @api.post("/model/webhook", status_code=HTTPStatus.ACCEPTED, responses=openapi.WEBHOOK_PROBLEMS)
    async def on_webhook(request: Request, tasks: BackgroundTasks) -> None:
        """Receive MLflow's alias webhook. The fleet reads the alias at once; the content of the event is not used."""
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


def _bearer_check(tokens: Sequence[SecretStr]) -> Callable[..., None]:
    """Build a FastAPI dependency that requires one of the tokens. The comparison takes constant time."""
    accepted = [token.get_secret_value().encode() for token in tokens]
    scheme = HTTPBearer(auto_error=False, description="The stack output `serveToken`.")

    def check(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)]) -> None:
        received = credentials.credentials.encode() if credentials else b""
        matches = [secrets.compare_digest(received, token) for token in accepted]
        if not any(matches):
            raise UnauthorizedError(
                "The bearer token is not accepted." if credentials else "The request has no bearer token.",
                next_step="Send the header `Authorization: Bearer TOKEN`. The token is the stack output serveToken.",
            )

    return check


def _add_error_handlers(api: FastAPI) -> None:
    """Answer every error with a problem document."""

    @api.exception_handler(MantaError)
    async def manta_error(request: Request, error: MantaError) -> Response:
        return _error_response(request, error)

    @api.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> Response:
        """Answer what Starlette rejects: an unknown path or a wrong method."""
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
    async def client_disconnect(_: Request, __: Exception) -> Response:
        return CLIENT_CLOSED_REQUEST

    @api.exception_handler(Exception)
    async def defect(request: Request, _: Exception) -> Response:
        """Answer an unexpected exception. Starlette raises it again, so the replica's log has the traceback."""
        return _defect_response(request)


def _error_response(request: Request, error: MantaError) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorizedError) else {}
    return _problem(error.problem(request.url.path), error.status, headers)


def _defect_response(request: Request) -> Response:
    error = MantaError("The service failed because of a defect.", next_step="See the replica's log.")
    return _problem(error.problem(request.url.path), error.status, {})


def _problem(members: dict[str, object], status: int, headers: dict[str, str]) -> Response:
    content = schemas.Problem.model_validate(members).model_dump_json(exclude_none=True)
    return Response(content, status_code=status, headers=headers, media_type=PROBLEM_JSON)
