"""The path `/feedback`, which receives labels. `app.serving.prediction_log.feedback` stores them."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI, Request
from fastapi.params import Depends as Dependency

from app import names
from app.errors import LogOffError, PlatformError
from app.serving import problem_openapi
from app.serving.catalog.catalog import Catalog
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember
from app.serving.prediction_log import request_ids
from app.serving.prediction_log.feedback import FeedbackRequest, FeedbackResponse, RowLabel
from app.serving.prediction_log.prediction_log import PredictionLog
from app.serving.protocol_openapi import JsonSchema
from app.serving.requests import body
from app.serving.requests.admission import BodyCharge, ByteBudget
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.limits import RequestLimits
from app.serving.rollout.recent_answers import TrueLabel

log = logging.getLogger(names.SERVING_LOG)

FEEDBACK: Final = "/feedback"

MAX_BODY_BYTES: Final = 2 * 1024**2
"""Maximum size of the body of one request: 200 bytes for each label."""

FORM: Final = '{"labels": [{"request_id": string, "row": integer, "label": true value}]}'
"""The form of a request, for error messages."""


def install(
    api: FastAPI,
    prediction_log: PredictionLog | None,
    catalog: Catalog,
    *,
    limits: RequestLimits,
    budget: ByteBudget,
    token_check: Sequence[Dependency],
) -> None:
    """Add the path to an API.

    Args:
        api: The API.
        prediction_log: Stores the labels; None if there is no prediction log.
        catalog: The models, whose rollouts count the answers that labels contradict.
        limits: What the replica accepts.
        budget: The bytes of larger bodies that requests hold.
        token_check: What checks the token of a request that changes something.
    """
    deadlines = Deadlines(limits.body_timeout_s)
    max_bytes = min(MAX_BODY_BYTES, limits.body_bytes)

    @api.post(
        FEEDBACK,
        dependencies=token_check,
        responses=problem_openapi.FEEDBACK_PROBLEMS,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}}},
    )
    async def send_labels(request: Request) -> FeedbackResponse:
        """Store the true values of rows that were predicted. If a row gets several labels, the last one counts."""
        if prediction_log is None:
            raise LogOffError(
                "The service keeps no prediction log, so labels cannot be matched with predictions.",
                next_step="Switch the log on: key predictionLog of the stack, or MANTA_PREDICTION_LOG.",
            )
        charge = BodyCharge(budget)
        try:
            content, _ = await body.read(request, max_bytes=max_bytes, deadlines=deadlines, charge=charge)
            labels = (await asyncio.to_thread(body.parse, FeedbackRequest, content, form=FORM)).labels
        finally:
            charge.release()
        await prediction_log.feedback.add(labels)
        await _count_wrong(catalog, labels)
        return FeedbackResponse(stored=len(labels))


async def _count_wrong(catalog: Catalog, labels: Sequence[RowLabel]) -> None:
    """Let every replica compare labels with its answers in a rollout. The labels are stored already."""
    if not any(member.is_in_rollout for member in catalog.rollout_members()):
        return
    true_labels = [TrueLabel(request_ids.shortened(label.request_id), label.row, label.label) for label in labels]
    try:
        await catalog.group.broadcast(FleetMember.on_labels, ANSWER_TIMEOUT_S, true_labels)
    except PlatformError as error:
        log.warning("%d labels do not count in the rollout: %s", len(labels), error)


def _schema() -> JsonSchema:
    """Return the schema of a request without references, which an OpenAPI document keeps in another place."""
    schema: JsonSchema = FeedbackRequest.model_json_schema()
    schema["properties"]["labels"]["items"] = schema.pop("$defs")[RowLabel.__name__]
    return schema
