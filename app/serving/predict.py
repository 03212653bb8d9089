"""Answers a prediction request: reads the body, runs the model, writes the JSON.

Small requests are answered on the event loop. Everything that could take longer runs in a thread or in a process, and
needs a place. `app.serving.routes` decides the paths of the API, and `app.serving.error_responses` the form of its
errors.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
import numpy as np
from mlflow.types import DataType
from starlette.requests import Request
from starlette.responses import Response

from app.errors import FeaturesError
from app.models.answers import Answers, Values
from app.models.predictor import Predictor
from app.models.signature import Columns
from app.serving import schemas
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.replica import Replica
from app.serving.requests import body, json_rows, npy_rows
from app.serving.requests.admission import BodyCharge, ByteBudget, Places
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.json_readers import JsonReaders
from app.serving.requests.limits import SMALL_BODY_BYTES, RequestLimits
from app.serving.requests.row_errors import shortened
from app.serving.requests.row_schema import RowSchema, ValueKind

MAX_INLINE_TREE_WALKS: Final = 100_000
"""Walks of a row down a tree that run on the event loop: about a millisecond. Larger batches run in a thread."""

CONTENT_TYPES: Final = (body.JSON, body.NPY)
"""Content types of rows."""

VALUE_KINDS: Final = {
    DataType.double: ValueKind.NUMBER,
    DataType.float: ValueKind.NUMBER,
    DataType.long: ValueKind.WHOLE_NUMBER,
    DataType.integer: ValueKind.WHOLE_NUMBER,
    DataType.boolean: ValueKind.BOOLEAN,
    DataType.string: ValueKind.TEXT,
    DataType.datetime: ValueKind.DATE,
}
"""What the readers of bodies accept for each type of a signature's column."""

VALUES_OF_PART: Final = 5_000
"""Numbers of an answer that are written at once. Writing them holds Python's lock for about a millisecond."""

Args = ParamSpec("Args")
Result = TypeVar("Result")

_encoder: Final = msgspec.json.Encoder()


class PredictionHandler:
    """Handles prediction requests with the model that the replica serves.

    Args:
        replica: The replica that serves.
        follower: Checks before the first answer that the replica serves the fleet's version.
        limits: What the replica accepts.
        threads: Number of large batches that run at the same time, and of large JSON bodies that are read at the same
            time. Small batches run on the event loop.
    """

    def __init__(self, replica: Replica, follower: AliasFollower, *, limits: RequestLimits, threads: int) -> None:
        self._replica = replica
        self._follower = follower
        self._limits = limits
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._json_readers = JsonReaders(processes=threads)
        self._deadlines = Deadlines(limits.body_timeout_s)
        self._schema_source: Columns | None = None
        self._schema = RowSchema(names=(), kinds=())
        self.budget = ByteBudget(limits.held_bytes)
        """The bytes of larger bodies that requests hold at present."""
        self.places = Places(ongoing=limits.ongoing, queued=limits.queued)
        """The places of predictions outside of the event loop."""

    async def handle(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            MantaError: The body cannot be used, no model is served, or the replica is overloaded.
        """
        charge = BodyCharge(self.budget)
        try:
            content, content_type = await body.read(
                request,
                max_bytes=self._limits.body_bytes,
                deadlines=self._deadlines,
                content_types=CONTENT_TYPES,
                charge=charge,
            )
            await self._follower.check_before_first_request()
            served = self._replica.require_served()
            predictor, version = served.predictor, str(served.version.version)
            if len(content) > SMALL_BODY_BYTES:
                async with self.places:
                    rows = await self._read_large(content, content_type, predictor.columns)
                    del content
                    answer = await self._in_thread(_answer, predictor, rows, version)
            else:
                read = npy_rows.read if content_type == body.NPY else json_rows.read
                rows = read(content, schema=self._schema_of(predictor.columns), max_rows=self._limits.rows)
                if predictor.tree_walks(len(rows)) <= MAX_INLINE_TREE_WALKS:
                    answer = _answer(predictor, rows, version)
                else:
                    async with self.places:
                        answer = await self._in_thread(_answer, predictor, rows, version)
        finally:
            charge.release()
        return Response(answer, media_type=body.JSON)

    async def close(self) -> None:
        """End the processes that read large bodies."""
        await self._json_readers.close()

    async def _read_large(self, content: bytes | bytearray, content_type: str, columns: Columns) -> np.ndarray:
        schema, max_rows = self._schema_of(columns), self._limits.rows
        if content_type == body.NPY:
            return await self._in_thread(npy_rows.read, content, schema=schema, max_rows=max_rows)
        return await self._json_readers.read(content, schema=schema, max_rows=max_rows)

    async def _in_thread(self, function: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def _schema_of(self, columns: Columns) -> RowSchema:
        """Return the schema of the served model's columns, which changes only with the model."""
        if columns is not self._schema_source:
            kinds = tuple(VALUE_KINDS[column.type] for column in columns)
            optional = frozenset(index for index, column in enumerate(columns) if column.is_optional)
            self._schema = RowSchema(names=tuple(columns.names), kinds=kinds, optional=optional)
            self._schema_source = columns
        return self._schema


def _answer(predictor: Predictor, rows: np.ndarray, version: str) -> bytes:
    """Predict rows and write the answer.

    Raises:
        FeaturesError: scikit-learn refuses the values, for example a category that it does not know.
    """
    try:
        answers = predictor.predict(rows)
    except ValueError as error:
        raise FeaturesError(
            f"The model cannot predict these rows: {shortened(str(error))}",
            next_step="Compare the values with those that the model was trained on.",
        ) from error
    return encode(answers, version)


def encode(answers: Answers, version: str) -> bytes:
    """Write a `PredictResponse` as JSON. Reading a number back gives exactly the number that was written.

    Args:
        answers: The answers of the model. `probabilities` is null if the model gives none; every other answer that the
            model does not give is left out.
        version: Number of the model version.
    """
    lists = {"predictions": answers.predictions, "probabilities": None} | answers.given
    if sum(map(_size, lists.values())) > VALUES_OF_PART:
        return b"".join(_encoded_parts(lists, version))
    content = {name: None if values is None else _to_list(values) for name, values in lists.items()}
    return _encoder.encode(content | {"model_version": version, "timestamp": schemas.now()})


def _encoded_parts(lists: Mapping[str, Values | None], version: str) -> Iterator[bytes]:
    """Yield the same JSON in parts, so that Python's lock is free in between."""
    start = b"{"
    for name, values in lists.items():
        yield start + _encoder.encode(name) + b":"
        if values is None:
            yield b"null"
        else:
            yield b"["
            yield from _encoded_list(values)
            yield b"]"
        start = b","
    yield b"," + _encoder.encode({"model_version": version, "timestamp": schemas.now()})[1:]


def _encoded_list(values: Values) -> Iterator[bytes]:
    rows = len(values[0]) if isinstance(values, tuple) else len(values)
    rows_of_part = max(1, VALUES_OF_PART * rows // max(1, _size(values)))
    for start in range(0, rows, rows_of_part):
        part = slice(start, start + rows_of_part)
        yield b"," if start else b""
        yield _encoder.encode(_to_list(_take(values, part)))[1:-1]


def _take(values: Values, part: slice) -> Values:
    return tuple(array[part] for array in values) if isinstance(values, tuple) else values[part]


def _to_list(values: Values) -> list[Any]:
    """Return one entry for each row: of one array its values, of several arrays a list of the values of each."""
    if isinstance(values, tuple):
        return list(zip(*(array.tolist() for array in values), strict=True))
    rows: list[Any] = values.tolist()
    return rows


def _size(values: Values | None) -> int:
    if values is None:
        return 0
    return sum(array.size for array in values) if isinstance(values, tuple) else values.size
