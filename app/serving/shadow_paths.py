"""The paths of shadows: begin, describe and end."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from fastapi import FastAPI, Request
from fastapi.params import Depends as Dependency

from app.serving import problem_openapi
from app.serving.access import AccessRules
from app.serving.catalog.catalog import Catalog
from app.serving.requests import body
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import RequestLimits
from app.serving.shadow.messages import ShadowRequest, ShadowStatus
from app.serving.shadow.shadows import Shadows

SHADOW: Final = "/model/shadow"
NAMED_SHADOW: Final = "/models/{name}/shadow"

FORM: Final = '{"version": string, "share": percent}; only version is required'
"""The form of a request that begins a shadow, for error messages."""

BODY: Final = {
    "requestBody": {"required": True, "content": {body.JSON: {"schema": ShadowRequest.model_json_schema()}}},
}
"""What the OpenAPI document says about the body of a request that begins a shadow."""


ReadRequest: TypeAlias = Callable[[Request], Awaitable[ShadowRequest]]
"""Reads the body of a request that begins a shadow."""


def install(
    api: FastAPI,
    shadows: Shadows,
    catalog: Catalog,
    *,
    limits: RequestLimits,
    access: AccessRules,
    token_check: Sequence[Dependency],
) -> None:
    """Add the paths to an API.

    Args:
        api: The API.
        shadows: The shadows of the default model.
        catalog: The models by name.
        limits: What the replica accepts.
        access: Whether a request is shown rows.
        token_check: What checks the token of a request that changes something.
    """
    deadlines = Deadlines(limits.body_timeout_s)

    async def read(request: Request) -> ShadowRequest:
        content, _ = await body.read(request, max_bytes=limits.control_body_bytes, deadlines=deadlines)
        return body.parse(ShadowRequest, content, form=FORM)

    _add_default(api, shadows, read, access, token_check)
    _add_named(api, shadows, catalog, read, access, token_check)


def _add_default(
    api: FastAPI, shadows: Shadows, read: ReadRequest, access: AccessRules, token_check: Sequence[Dependency]
) -> None:
    """Add the paths of the default model."""

    @api.post(SHADOW, dependencies=token_check, responses=problem_openapi.SHADOW_PROBLEMS, openapi_extra=BODY)
    async def begin(request: Request) -> ShadowStatus:
        """Let a version answer copies of requests after their answers were sent. Answers when every replica holds it.

        No client gets an answer of the version. How its answers differ from those of the champion is written to its
        MLflow run once a minute. For the version that is the shadow already, the share changes.
        """
        await shadows.begin(await read(request))
        return _shown(request, shadows, await shadows.describe(), access)

    @api.get(SHADOW)
    async def describe(request: Request) -> ShadowStatus:
        """Return the running shadow, and how its answers differ from those of the champion."""
        return _shown(request, shadows, await shadows.describe(), access)

    @api.delete(SHADOW, dependencies=token_check, responses=problem_openapi.SHADOW_END_PROBLEMS)
    async def end(request: Request) -> ShadowStatus:
        """End the shadow, write its figures to its run, and return them."""
        return _shown(request, shadows, await shadows.end(), access)


def _add_named(
    api: FastAPI,
    shadows: Shadows,
    catalog: Catalog,
    read: ReadRequest,
    access: AccessRules,
    token_check: Sequence[Dependency],
) -> None:
    """Add the paths of the models by name."""

    def of_model(name: str) -> Shadows:
        if name == catalog.default.name:
            return shadows
        catalog.require_name(name)
        return catalog.model(name).shadows

    @api.post(
        NAMED_SHADOW, dependencies=token_check, responses=problem_openapi.NAMED_SHADOW_PROBLEMS, openapi_extra=BODY
    )
    async def begin_of_model(request: Request, name: str) -> ShadowStatus:
        """Begin a shadow of a model by its name; see `/model/shadow`. Every replica loads the version."""
        message, model = await read(request), of_model(name)
        await catalog.source(name).require()
        await model.begin(message)
        return _shown(request, model, await model.describe(), access)

    @api.get(NAMED_SHADOW, responses=problem_openapi.MODEL_PROBLEMS)
    async def describe_of_model(request: Request, name: str) -> ShadowStatus:
        """Return the running shadow of a model."""
        model = of_model(name)
        return _shown(request, model, await model.describe(), access)

    @api.delete(NAMED_SHADOW, dependencies=token_check, responses=problem_openapi.NAMED_SHADOW_END_PROBLEMS)
    async def end_of_model(request: Request, name: str) -> ShadowStatus:
        """End the shadow of a model, write its figures to its run, and return them."""
        model = of_model(name)
        return _shown(request, model, await model.end(), access)


def _shown(request: Request, shadows: Shadows, status: ShadowStatus, access: AccessRules) -> ShadowStatus:
    """Leave out the rows if the request may not see examples of the model."""
    return status if access.shows_examples_to(request.headers, shadows.model) else status.without_rows()
