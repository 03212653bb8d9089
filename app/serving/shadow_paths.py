"""The paths of shadows: begin, describe and end. Only the default model has shadows."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI, Request
from fastapi.params import Depends as Dependency

from app.serving import problem_openapi
from app.serving.access import AccessRules
from app.serving.requests import body
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import RequestLimits
from app.serving.shadow.messages import ShadowRequest, ShadowStatus
from app.serving.shadow.shadows import Shadows

SHADOW: Final = "/model/shadow"

FORM: Final = '{"version": string, "share": percent}; only version is required'
"""The form of a request that begins a shadow, for error messages."""

BODY: Final = {
    "requestBody": {"required": True, "content": {body.JSON: {"schema": ShadowRequest.model_json_schema()}}},
}
"""What the OpenAPI document says about the body of a request that begins a shadow."""


def install(
    api: FastAPI, shadows: Shadows, *, limits: RequestLimits, access: AccessRules, token_check: Sequence[Dependency]
) -> None:
    """Add the paths to an API.

    Args:
        api: The API.
        shadows: The shadows of the default model.
        limits: What the replica accepts.
        access: Whether a request is shown rows.
        token_check: What checks the token of a request that changes something.
    """
    deadlines = Deadlines(limits.body_timeout_s)

    def shown(request: Request, status: ShadowStatus) -> ShadowStatus:
        return status if access.shows_examples_to(request.headers, shadows.model) else status.without_rows()

    @api.post(SHADOW, dependencies=token_check, responses=problem_openapi.SHADOW_PROBLEMS, openapi_extra=BODY)
    async def begin(request: Request) -> ShadowStatus:
        """Let a version answer copies of requests after their answers were sent. Answers when every replica holds it.

        No client gets an answer of the version. How its answers differ from those of the champion is written to its
        MLflow run once a minute. For the version that is the shadow already, the share changes.
        """
        content, _ = await body.read(request, max_bytes=limits.control_body_bytes, deadlines=deadlines)
        await shadows.begin(body.parse(ShadowRequest, content, form=FORM))
        return shown(request, await shadows.describe())

    @api.get(SHADOW)
    async def describe(request: Request) -> ShadowStatus:
        """Return the running shadow, and how its answers differ from those of the champion."""
        return shown(request, await shadows.describe())

    @api.delete(SHADOW, dependencies=token_check, responses=problem_openapi.SHADOW_END_PROBLEMS)
    async def end(request: Request) -> ShadowStatus:
        """End the shadow, write its figures to its run, and return them."""
        return shown(request, await shadows.end())
