"""The paths of rollouts: begin, describe, promote and abort."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from fastapi import FastAPI, Request
from fastapi.params import Depends as Dependency

from app.serving import problem_openapi
from app.serving.catalog.catalog import Catalog
from app.serving.requests import body
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import RequestLimits
from app.serving.rollout import rollout_status
from app.serving.rollout.messages import RolloutRequest, RolloutStatus
from app.serving.rollout.rollouts import Rollouts

ROLLOUT: Final = "/model/rollout"
NAMED_ROLLOUT: Final = "/models/{name}/rollout"

FORM: Final = (
    '{"version": string, "steps": [percent, ...], "min_rows": number, "min_seconds": number, "bake_seconds": number, '
    '"key": header, "timeout_seconds": number, "max_disagreement": percent, "hold": boolean}; only version is required'
)
"""The form of a request that begins a rollout, for error messages."""


BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {body.JSON: {"schema": RolloutRequest.model_json_schema()}},
    }
}
"""What the OpenAPI document says about the body of a request that begins a rollout."""


ReadRequest: TypeAlias = Callable[[Request], Awaitable[RolloutRequest]]
"""Reads the body of a request that begins a rollout."""


def install(
    api: FastAPI, rollouts: Rollouts, catalog: Catalog, *, limits: RequestLimits, token_check: Sequence[Dependency]
) -> None:
    """Add the paths to an API.

    Args:
        api: The API.
        rollouts: The rollouts of the default model.
        catalog: The models by name.
        limits: What the replica accepts.
        token_check: What checks the token of a request that changes something.
    """
    deadlines = Deadlines(limits.body_timeout_s)

    async def read(request: Request) -> RolloutRequest:
        content, _ = await body.read(request, max_bytes=limits.control_body_bytes, deadlines=deadlines)
        return body.parse(RolloutRequest, content, form=FORM)

    _add_default(api, rollouts, read, token_check)
    _add_named(api, rollouts, catalog, read, token_check)


def _add_default(api: FastAPI, rollouts: Rollouts, read: ReadRequest, token_check: Sequence[Dependency]) -> None:
    """Add the paths of the default model."""

    @api.post(ROLLOUT, dependencies=token_check, responses=problem_openapi.ROLLOUT_PROBLEMS, openapi_extra=BODY)
    async def begin(request: Request) -> RolloutStatus:
        """Let a version take the traffic of the champion step by step. Answers when every replica holds both.

        The version goes back by itself if it fails more often, answers more slowly or answers wrongly more often than
        the champion. Requests that it fails to answer are answered by the champion.
        """
        message = await read(request)
        await rollouts.begin(message.version, message.policy)
        return await rollout_status.describe(rollouts)

    @api.get(ROLLOUT)
    async def describe() -> RolloutStatus:
        """Return the running or the last rollout: share, figures of both versions, evidence, and how it ended."""
        return await rollout_status.describe(rollouts)

    @api.delete(ROLLOUT, dependencies=token_check, responses=problem_openapi.ROLLOUT_END_PROBLEMS)
    async def abort() -> RolloutStatus:
        """End the rollout. The champion answers all requests again."""
        await rollouts.abort()
        return await rollout_status.describe(rollouts)

    @api.post(f"{ROLLOUT}/promote", dependencies=token_check, responses=problem_openapi.ROLLOUT_END_PROBLEMS)
    async def promote() -> RolloutStatus:
        """Let the version of the rollout take all traffic at once, and make it the champion."""
        await rollouts.promote()
        return await rollout_status.describe(rollouts)


def _add_named(
    api: FastAPI, rollouts: Rollouts, catalog: Catalog, read: ReadRequest, token_check: Sequence[Dependency]
) -> None:
    """Add the paths of the models by name."""

    def of_model(name: str) -> Rollouts:
        if name == catalog.default.name:
            return rollouts
        catalog.require_name(name)
        return catalog.model(name).rollouts

    @api.post(
        NAMED_ROLLOUT, dependencies=token_check, responses=problem_openapi.NAMED_ROLLOUT_PROBLEMS, openapi_extra=BODY
    )
    async def begin_of_model(request: Request, name: str) -> RolloutStatus:
        """Begin a rollout of a model by its name; see `/model/rollout`. Every replica loads both versions."""
        message, model = await read(request), of_model(name)
        await catalog.source(name).require()
        await model.begin(message.version, message.policy)
        return await rollout_status.describe(model)

    @api.get(NAMED_ROLLOUT, responses=problem_openapi.MODEL_PROBLEMS)
    async def describe_of_model(name: str) -> RolloutStatus:
        """Return the running or the last rollout of a model, as far as the replicas know it since they started."""
        return await rollout_status.describe(of_model(name), trouble=catalog.trouble)

    @api.delete(NAMED_ROLLOUT, dependencies=token_check, responses=problem_openapi.NAMED_ROLLOUT_END_PROBLEMS)
    async def abort_of_model(name: str) -> RolloutStatus:
        """End the rollout of a model. Its champion answers all requests again."""
        model = of_model(name)
        await model.abort()
        return await rollout_status.describe(model)

    @api.post(
        f"{NAMED_ROLLOUT}/promote", dependencies=token_check, responses=problem_openapi.NAMED_ROLLOUT_END_PROBLEMS
    )
    async def promote_of_model(name: str) -> RolloutStatus:
        """Let the version of a model's rollout take all traffic at once, and make it the champion."""
        model = of_model(name)
        await model.promote()
        return await rollout_status.describe(model)
