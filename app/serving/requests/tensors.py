"""The JSON of an inference request in the Open Inference Protocol, without the data of its tensors.

`app.serving.requests.tensor_rows` reads the data. The protocol:
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Its extension for binary data:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import math
from typing import Any, Final

import msgspec
import numpy as np

from app.errors import InvalidBodyError
from app.serving.requests.json_faults import DECODE_ERRORS
from app.serving.requests.row_errors import shortened

DTYPES: Final = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}
"""numpy's data type for each data type of the protocol that holds numbers."""

BYTES: Final = "BYTES"
"""Data type of text."""

FORM: Final = '{"inputs": [{"name": text, "shape": [rows, columns], "datatype": text, "data": [...]}, ...]}'
"""The form of a request, for error messages."""

MAX_SIDE: Final = 2**40
"""Largest number in a shape."""

Parameters = dict[str, Any]
"""Parameters of the protocol. Each one has its own type."""


class Input(msgspec.Struct):
    """A tensor of a request."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: msgspec.Raw = msgspec.Raw(b"")
    """The values as JSON; empty if they are binary."""

    @property
    def binary_bytes(self) -> int | None:
        """Bytes of the binary values; None if the values are JSON."""
        size = (self.parameters or {}).get("binary_data_size")
        return size if type(size) is int else None

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


class RequestedOutput(msgspec.Struct):
    """An output that a request asks for."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(msgspec.Struct):
    """An inference request."""

    inputs: list[Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None

    @property
    def wants_binary(self) -> bool:
        """Whether outputs are binary unless the request says otherwise for one of them."""
        return (self.parameters or {}).get("binary_data_output") is True


_decoder: Final = msgspec.json.Decoder(InferenceRequest)


def decode(body: bytes | bytearray, *, head_bytes: int = 0) -> InferenceRequest:
    """Decode a request, and check the shapes and data types of its tensors.

    Args:
        body: The body.
        head_bytes: Bytes of the JSON at the beginning of the body; 0 if the whole body is JSON.

    Raises:
        InvalidBodyError: The body is no inference request.
    """
    head = memoryview(body)[:head_bytes] if head_bytes else body
    try:
        request = _decoder.decode(head)
    except DECODE_ERRORS as error:
        raise invalid(f"The body cannot be read: {error or 'it is nested too deeply'}.") from error
    if not request.inputs:
        raise invalid("inputs is []: the request has no tensor.")
    for tensor in request.inputs:
        if tensor.datatype != BYTES and tensor.datatype not in DTYPES:
            raise invalid(
                f"{label(tensor)} has the datatype {shortened(tensor.datatype)!r}.", allowed=", ".join([*DTYPES, BYTES])
            )
        if not 1 <= len(tensor.shape) <= 2 or not all(0 <= side <= MAX_SIDE for side in tensor.shape):  # noqa: PLR2004 - rows and columns
            raise invalid(
                f"{label(tensor)} has the shape {shortened(str(tensor.shape))}.",
                allowed="[rows, columns] for all columns together, [rows] or [rows, 1] for one column",
            )
    return request


def label(tensor: Input) -> str:
    """Name a tensor in an error message."""
    return f"The input {shortened(tensor.name)!r}"


def invalid(detail: str, *, allowed: str = FORM) -> InvalidBodyError:
    """Build the error for a request of another form."""
    return InvalidBodyError(detail, allowed=allowed, next_step="GET /v2/models/NAME lists the inputs of a model.")
