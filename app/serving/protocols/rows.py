"""The protocol of `POST /predict`: rows as JSON or npy, and all answers of the model as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.models.answers import Answers, Values
from app.serving import schemas
from app.serving.loading.served_model import ServedModel
from app.serving.protocols.wire import Exchange, Wire
from app.serving.requests import body, body_forms, json_rows, npy_rows

VALUES_OF_PART: Final = 5_000
"""Numbers of an answer that are written at once. Writing them holds Python's lock for about a millisecond."""

_encoder: Final = msgspec.json.Encoder()


def encode(answers: Answers, version: str) -> bytes:
    """Write a `PredictResponse` as JSON. Reading a number back gives exactly the number that was written.

    Args:
        answers: The answers of the model. `probabilities` is null if the model gives none; every other answer that the
            model does not give is left out.
        version: Number of the model version.
    """
    lists = {"predictions": answers.predictions, "probabilities": None} | answers.by_name
    if sum(map(_size, lists.values())) > VALUES_OF_PART:
        return b"".join(_encoded_parts(lists, version))
    content = {name: None if values is None else _to_list(values) for name, values in lists.items()}
    return _encoder.encode(content | {"model_version": version, "timestamp": schemas.now()})


def encode_list(values: Values) -> Iterator[bytes]:
    """Yield the answers for all rows as a JSON list, in parts, so that Python's lock is free in between."""
    yield b"["
    yield from _encoded_list(values)
    yield b"]"


def _encoded_parts(lists: Mapping[str, Values | None], version: str) -> Iterator[bytes]:
    start = b"{"
    for name, values in lists.items():
        yield start + _encoder.encode(name) + b":"
        if values is None:
            yield b"null"
        else:
            yield from encode_list(values)
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


def _write(answers: Answers, served: ServedModel) -> Response:
    return Response(encode(answers, str(served.version.version)), media_type=body.JSON)


JSON: Final = Exchange(form=body_forms.ROWS, read=json_rows.read, write=_write)
NPY: Final = Exchange(form=None, read=npy_rows.read, write=_write)


def _begin(_: Request, __: bytes | bytearray, content_type: str, ___: ServedModel) -> Exchange:
    return NPY if content_type == body.NPY else JSON


WIRE: Final = Wire(content_types=(body.JSON, body.NPY), begin=_begin)
