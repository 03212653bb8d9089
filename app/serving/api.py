"""FastAPI with direct handlers for predictions, because FastAPI's routing takes longer than a prediction."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.errors import MantaError
from app.serving import error_responses

Handler: TypeAlias = Callable[..., Awaitable[Response]]
"""Answers a request. Its further arguments are the parts of the path, by name."""


class Api(FastAPI):
    """The HTTP API of a replica."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - passed on unchanged to FastAPI
        super().__init__(**kwargs)
        self._handlers: dict[str, Handler] = {}
        self._patterns: list[tuple[re.Pattern[str], Handler]] = []

    def handle_directly(self, path: str, handler: Handler) -> None:
        """Answer the POST requests of a path without FastAPI, exactly as the route of that path does.

        Args:
            path: The path as FastAPI takes it, such as `/models/{name}/predict`. A part does not hold a slash.
            handler: Gets the request, and the parts of the path by name.
        """
        if "{" in path:
            self._patterns.append((re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)), handler))
        else:
            self._handlers[path] = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the direct handler of the path, or with FastAPI if there is none."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        handler, parts = self._find(path) if scope.get("method") == "POST" else (None, {})
        if handler is None:
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await handler(request, **parts)
        except MantaError as error:
            response = error_responses.error_response(request, error)
        except ClientDisconnect:
            response = error_responses.CLIENT_CLOSED_REQUEST
        except Exception:  # the client gets an error document, and Serve logs the exception that is raised again
            await error_responses.defect_response(request)(scope, receive, send)
            raise
        await response(scope, receive, send)

    def _find(self, path: str) -> tuple[Handler | None, dict[str, str]]:
        handler = self._handlers.get(path)
        if handler is not None:
            return handler, {}
        for pattern, pattern_handler in self._patterns:
            match = pattern.fullmatch(path)
            if match:
                return pattern_handler, match.groupdict()
        return None, {}
