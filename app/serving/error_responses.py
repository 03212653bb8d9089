"""The HTTP response for each error, in the form of the protocol whose path was asked.

The paths of the Open Inference Protocol and of MLflow's scoring protocol have errors of their own. All other paths
answer with an RFC 9457 problem document.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route

from app.errors import BodyTimeoutError, MantaError, ModelLoadingError, OverloadedError, UnauthorizedError
from app.serving.protocols import mlflow_scoring, open_inference
from app.serving.requests.limits import LOADING_RETRY_AFTER_S, RETRY_AFTER_S
from app.serving.schemas import Problem

PROBLEM_JSON: Final = "application/problem+json"

HEADERS: Final[dict[type[MantaError], dict[str, str]]] = {
    UnauthorizedError: {"WWW-Authenticate": "Bearer"},
    OverloadedError: {"Retry-After": str(RETRY_AFTER_S)},
    ModelLoadingError: {"Retry-After": str(LOADING_RETRY_AFTER_S)},
    BodyTimeoutError: {"Connection": "close"},  # the rest of the body is not awaited
}
"""Headers of the responses to some errors."""

REQUEST_ID: Final = "x-request-id"
"""Header with the id of a request. HAProxy and Serve add it to a request that has none."""

PROTOCOL_STATUSES: Final = {422: 400}
"""Statuses of errors in the other protocols, where they differ from those of this API."""

CLIENT_CLOSED_REQUEST: Final = Response(status_code=499)
"""Answer if the client disconnects while it sends the body. It reaches no client, but avoids a traceback in the log."""


def install(api: FastAPI) -> None:
    """Let an API answer every error with a problem document."""

    @api.exception_handler(MantaError)
    async def manta_error(request: Request, error: MantaError) -> Response:
        return error_response(request, error)

    @api.exception_handler(HTTPException)
    async def http_exception(request: Request, error: HTTPException) -> Response:
        """Answer an unknown path or a wrong method, which Starlette rejects."""
        detail = f"{request.method} {request.url.path}: {error.detail}."
        next_step = "See /docs for the paths and their methods."
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(_methods(api, request))
        write = _protocol_error(request)
        if write is not None:
            unknown = MantaError(detail, next_step=next_step)
            return JSONResponse(write(unknown, error.status_code), error.status_code, headers)
        members = {
            "type": "about:blank",
            "title": error.detail,
            "status": error.status_code,
            "detail": detail,
            "instance": request.url.path,
            "next_step": next_step,
        }
        return _problem_response(request, members, error.status_code, headers)

    @api.exception_handler(ClientDisconnect)
    async def client_disconnect(_: Request, __: Exception) -> Response:
        return CLIENT_CLOSED_REQUEST

    @api.exception_handler(Exception)
    async def defect(request: Request, _: Exception) -> Response:
        """Answer an unexpected exception. Starlette raises it again, so the replica's log has the traceback."""
        return defect_response(request)


def _methods(api: FastAPI, request: Request) -> list[str]:
    """Return the methods of a path. Starlette names those of one route only, and a path may have several."""
    routes = [
        route for route in api.routes if isinstance(route, Route) and route.matches(request.scope)[0] != Match.NONE
    ]
    return sorted({method for route in routes for method in route.methods or ()})


def status_of(request: Request, error: MantaError) -> int:
    """Return the status of the response for an error of the app."""
    return error.status if _protocol_error(request) is None else PROTOCOL_STATUSES.get(error.status, error.status)


def error_response(request: Request, error: MantaError) -> Response:
    """Build the response for an error of the app."""
    headers = HEADERS.get(type(error), {})
    write, status = _protocol_error(request), status_of(request, error)
    if write is None:
        return _problem_response(request, error.problem(request.url.path), status, headers)
    return JSONResponse(write(error, status), status, headers)


def defect_response(request: Request) -> Response:
    """Build the response for an unexpected exception. It tells the client nothing about the cause."""
    return error_response(
        request, MantaError("The service failed because of a defect.", next_step="See the replica's log.")
    )


def _protocol_error(request: Request) -> Callable[[MantaError, int], dict[str, object]] | None:
    """Return what writes the errors of the protocol whose path was asked; None for a problem document."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    if path == open_inference.ROOT or path.startswith(f"{open_inference.ROOT}/"):
        return open_inference.error_content
    return mlflow_scoring.error_content if path in mlflow_scoring.PATHS else None


def _problem_response(request: Request, members: dict[str, object], status: int, headers: dict[str, str]) -> Response:
    members = members | {"request_id": request.headers.get(REQUEST_ID)}
    content = Problem.model_validate(members).model_dump_json(exclude_none=True)
    return Response(content, status_code=status, headers=headers, media_type=PROBLEM_JSON)
