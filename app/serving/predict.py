"""The way of a request for predictions, from its bytes to the answer's.

Which paths there are, and what every failure looks like, is decided in `app.serving.routes`.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from app.serving import schemas
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.replica import Replica
from app.serving.requests import body, json_rows, npy_rows
from app.serving.requests.limits import RequestLimits

INLINE_WALKS: Final = 100_000
"""Walks of a row down a tree, about a millisecond of them, that are not worth another thread."""

READERS: Final = {body.JSON: json_rows.read, body.NPY: npy_rows.read}
"""What reads each type of body."""

_encoder: Final = msgspec.json.Encoder()


class Predictions:
    """Answers rows by what the replica serves.

    Args:
        replica: What serves.
        follower: Asked before the first answer whether that is still what the fleet serves.
        limits: The most rows and bytes of a request.
        threads: Batches that are answered at once, beside the small ones, which the event loop answers itself.
    """

    def __init__(self, replica: Replica, follower: AliasFollower, *, limits: RequestLimits, threads: int) -> None:
        self._replica = replica
        self._follower = follower
        self._limits = limits
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def answer(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            MantaError: The body cannot be used, or no model is served.
        """
        content, kind = await body.read(request, max_bytes=self._limits.body_bytes, kinds=READERS)
        await self._follower.check_before_first_request()
        served = self._replica.require_served()
        predictor = served.predictor
        read = READERS.get(kind, json_rows.read)
        rows = read(content, columns=predictor.columns, max_rows=self._limits.rows)
        if predictor.walks(len(rows)) <= INLINE_WALKS:
            labels, probabilities = predictor.predict(rows)
        else:
            loop = asyncio.get_running_loop()
            labels, probabilities = await loop.run_in_executor(self._threads, predictor.predict, rows)
        return Response(encode(labels, probabilities, str(served.version.version)), media_type=body.JSON)


def encode(labels: np.ndarray, probabilities: np.ndarray | None, version: str) -> bytes:
    """A `PredictResponse` as JSON; every number is read back as the one that was written.

    Args:
        labels: Shape (rows,), predictions.
        probabilities: Shape (rows, classes), or None.
        version: Of the model.
    """
    return _encoder.encode(
        {
            "predictions": (labels.astype(np.int64) if labels.dtype.kind == "b" else labels).tolist(),
            "probabilities": None if probabilities is None else probabilities.tolist(),
            "model_version": version,
            "timestamp": schemas.now(),
        }
    )
