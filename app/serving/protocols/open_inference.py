"""The messages of the Open Inference Protocol over HTTP: inference, metadata and errors.

`app.serving.protocols.open_inference_paths` has the paths, and `app.serving.requests.tensors` the requests.
"""

import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
from mlflow.types import DataType
from starlette.requests import Request
from starlette.responses import Response

from app.errors import MantaError
from app.models.answers import Answers, Values
from app.serving.loading.served_model import ServedModel
from app.serving.protocols.rows import VALUES_OF_PART, encode_list
from app.serving.protocols.wire import Exchange, Wire
from app.serving.requests import body, tensor_rows, tensors
from app.serving.requests.body_forms import BodyForm, Form
from app.serving.requests.tensors import DTYPES, InferenceRequest

ROOT: Final = "/v2"
"""Beginning of the protocol's paths."""

HEAD_LENGTH: Final = "inference-header-content-length"
"""Header of a body with binary data: bytes of the JSON at its beginning."""

BINARY: Final = "application/octet-stream"
"""Content type of a body with binary data."""

CONTENT_TYPES: Final = (body.JSON, BINARY, "")
"""Content types of requests. Triton's client names none."""

OUTPUTS: Final = {
    "predictions": "predict",
    "probabilities": "predict_proba",
    "decision": "decision_function",
    "std": "std",
}
"""Name of the output for each answer of a model: scikit-learn's method, as in MLServer."""

OUTPUT_PROBABILITIES: Final = "predict_proba_{}"
"""Name of the output with the probabilities of one output of a model with several outputs, by its index."""

DATATYPES: Final = {dtype: name for name, dtype in DTYPES.items()}

INPUT_DATATYPES: Final = {
    DataType.double: "FP64",
    DataType.float: "FP32",
    DataType.long: "INT64",
    DataType.integer: "INT32",
    DataType.boolean: "BOOL",
    DataType.string: tensors.BYTES,
    DataType.datetime: tensors.BYTES,
}
"""Data type of the input for each type of a column. Other data types of numbers are accepted too."""

LENGTH: Final = struct.Struct("<I")
"""Length of a text in binary data. The text follows."""

_encoder: Final = msgspec.json.Encoder()


def _begin(request: Request, content: bytes | bytearray, _: str, served: ServedModel) -> Exchange:
    head_bytes = _head_bytes(request, content)
    inference = tensors.decode(content, head_bytes=head_bytes)
    known = output_names(served)
    for output in inference.outputs or []:
        if output.name not in known:
            raise tensors.invalid(f"The model has no output {output.name[:60]!r}.", allowed=", ".join(known))
    return Exchange(
        form=BodyForm(Form.TENSORS, head_bytes),
        read=partial(tensor_rows.read_decoded, inference, head_bytes=head_bytes),
        write=partial(_write, inference),
    )


WIRE: Final = Wire(content_types=CONTENT_TYPES, begin=_begin)


def output_names(served: ServedModel) -> list[str]:
    """Return the names of the outputs of a version, predictions first."""
    predictor = served.predictor
    names = [OUTPUTS[answer] for answer in predictor.answers if answer in OUTPUTS]
    if "output_probabilities" in predictor.answers:
        names += [OUTPUT_PROBABILITIES.format(index) for index in range(len(predictor.output_classes))]
    return names


def error_content(error: MantaError, _: int) -> dict[str, object]:
    """Build the JSON of an error."""
    return {"error": str(error)}


def metadata(served: ServedModel, versions: list[str]) -> dict[str, Any]:
    """Build the metadata of a model: one input for each column, and its outputs.

    Args:
        served: The version that answers.
        versions: The versions that can be asked for.
    """
    predictor = served.predictor
    label_type = "FP64" if predictor.labels is None else DATATYPES.get(predictor.labels.dtype, tensors.BYTES)
    widths = {OUTPUTS["predictions"]: [-1], OUTPUTS["probabilities"]: [-1, len(predictor.classes)]}
    outputs = [
        {
            "name": name,
            "datatype": label_type if name == OUTPUTS["predictions"] else "FP64",
            "shape": widths.get(name, [-1, -1]),
        }
        for name in output_names(served)
    ]
    inputs = [
        {"name": column.name, "datatype": INPUT_DATATYPES[column.type], "shape": [-1]} for column in predictor.columns
    ]
    name = served.version.name
    return {"name": name, "versions": versions, "platform": "manta", "inputs": inputs, "outputs": outputs}


def _head_bytes(request: Request, content: bytes | bytearray) -> int:
    text = request.headers.get(HEAD_LENGTH)
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= body.MAX_LENGTH_DIGITS) or int(text) > len(content):
        raise tensors.invalid(
            f"The header {HEAD_LENGTH} is {text[:60]!r}.", allowed=f"at most the {len(content)} bytes of the body"
        )
    return int(text)


def _write(inference: InferenceRequest, answers: Answers, served: ServedModel) -> Response:
    """Write the outputs that a request asks for, or all outputs."""
    outputs = dict(_named_outputs(answers.by_name))
    asked = inference.outputs or [tensors.RequestedOutput(name) for name in outputs]
    heads: list[bytes] = []
    binaries: list[bytes] = []
    for output in asked:
        array = outputs[output.name]
        binary = (output.parameters or {}).get("binary_data", inference.wants_binary)
        head = {"name": output.name, "datatype": DATATYPES.get(array.dtype, tensors.BYTES), "shape": array.shape}
        if binary is True:
            binaries.append(_binary(array))
            heads.append(_encoder.encode(head | {"parameters": {"binary_data_size": len(binaries[-1])}}))
        else:
            heads.append(_encoder.encode(head)[:-1] + b',"data":' + _json(array) + b"}")
    start = {"model_name": served.version.name, "model_version": str(served.version.version)}
    if inference.id is not None:
        start["id"] = inference.id
    content = _encoder.encode(start)[:-1] + b',"outputs":[' + b",".join(heads) + b"]}"
    if not binaries:
        return Response(content, media_type=body.JSON)
    headers = {HEAD_LENGTH: str(len(content))}
    return Response(content + b"".join(binaries), media_type=BINARY, headers=headers)


def _named_outputs(given: dict[str, Values]) -> Iterator[tuple[str, np.ndarray]]:
    for name, values in given.items():
        if isinstance(values, tuple):
            for index, array in enumerate(values):
                yield OUTPUT_PROBABILITIES.format(index), array
        else:
            yield OUTPUTS[name], values


def _json(array: np.ndarray) -> bytes:
    values = array.ravel()
    if DATATYPES.get(array.dtype) is None:
        values = values.astype(str)
    return b"".join(encode_list(values)) if values.size > VALUES_OF_PART else _encoder.encode(values.tolist())


def _binary(array: np.ndarray) -> bytes:
    if DATATYPES.get(array.dtype) is not None:
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    texts = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(LENGTH.pack(len(text)) + text for text in texts)
