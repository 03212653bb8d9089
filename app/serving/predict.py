"""Answers a prediction request: reads the body, runs the model, writes the JSON.

`app.serving.routes` decides the paths of the API, and `app.serving.error_responses` the form of its errors.
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

MAX_INLINE_TREE_WALKS: Final = 100_000
"""Walks of a row down a tree that run on the event loop: about a millisecond. Larger batches run in a thread."""

READERS: Final = {body.JSON: json_rows.read, body.NPY: npy_rows.read}
"""The reader of each content type."""

_encoder: Final = msgspec.json.Encoder()


class PredictionHandler:
    """Handles prediction requests with the model that the replica serves.

    Args:
        replica: The replica that serves.
        follower: Checks before the first answer that the replica serves the fleet's version.
        limits: Maximum rows and bytes of a request.
        threads: Number of large batches that run at the same time. Small batches run on the event loop.
    """

    def __init__(self, replica: Replica, follower: AliasFollower, *, limits: RequestLimits, threads: int) -> None:
        self._replica = replica
        self._follower = follower
        self._limits = limits
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")

    async def handle(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            MantaError: The body cannot be used, or no model is served.
        """
        content, content_type = await body.read(request, max_bytes=self._limits.body_bytes, content_types=READERS)
        await self._follower.check_before_first_request()
        served = self._replica.require_served()
        predictor = served.predictor
        read = READERS.get(content_type, json_rows.read)
        rows = read(content, columns=predictor.columns, max_rows=self._limits.rows)
        if predictor.tree_walks(len(rows)) <= MAX_INLINE_TREE_WALKS:
            predictions, probabilities = predictor.predict(rows)
        else:
            loop = asyncio.get_running_loop()
            predictions, probabilities = await loop.run_in_executor(self._executor, predictor.predict, rows)
        return Response(encode(predictions, probabilities, str(served.version.version)), media_type=body.JSON)


def encode(predictions: np.ndarray, probabilities: np.ndarray | None, version: str) -> bytes:
    """Write a `PredictResponse` as JSON. Reading a number back gives exactly the number that was written.

    Args:
        predictions: Shape (rows,).
        probabilities: Shape (rows, classes), or None.
        version: Number of the model version.
    """
    return _encoder.encode(
        {
            "predictions": (predictions.astype(np.int64) if predictions.dtype.kind == "b" else predictions).tolist(),
            "probabilities": None if probabilities is None else probabilities.tolist(),
            "model_version": version,
            "timestamp": schemas.now(),
        }
    )
