"""The paths of rollouts: begin, describe, promote and abort. Only the default model has rollouts."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI, Request
from fastapi.params import Depends as Dependency

from app.serving import problem_openapi
from app.serving.requests import body
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import RequestLimits
from app.serving.rollout import rollout_status
from app.serving.rollout.messages import RolloutRequest, RolloutStatus
from app.serving.rollout.rollouts import Rollouts

ROLLOUT: Final = "/model/rollout"

FORM: Final = (
    '{"version": string, "steps": [percent, ...], "min_rows": number, "min_seconds": number, "bake_seconds": number, '
    '"key": header, "timeout_seconds": number, "hold": boolean}; only version is required'
)
"""The form of a request that begins a rollout, for error messages."""


BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {body.JSON: {"schema": RolloutRequest.model_json_schema()}},
    }
}
"""What the OpenAPI document says about the body of a request that begins a rollout."""


def install(api: FastAPI, rollouts: Rollouts, *, limits: RequestLimits, token_check: Sequence[Dependency]) -> None:
    """Add the paths to an API.

    Args:
        api: The API.
        rollouts: The rollouts of the default model.
        limits: What the replica accepts.
        token_check: What checks the token of a request that changes something.
    """
    deadlines = Deadlines(limits.body_timeout_s)

    @api.post(ROLLOUT, dependencies=token_check, responses=problem_openapi.ROLLOUT_PROBLEMS, openapi_extra=BODY)
    async def begin(request: Request) -> RolloutStatus:
        """Let a version take the traffic of the champion step by step. Answers when every replica holds both.

        The version goes back by itself if it fails more often or answers more slowly than the champion. Requests that
        it fails to answer are answered by the champion.
        """
        content, _ = await body.read(request, max_bytes=limits.control_body_bytes, deadlines=deadlines)
        message = body.parse(RolloutRequest, content, form=FORM)
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
