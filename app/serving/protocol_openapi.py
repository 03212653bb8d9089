"""The parts of the OpenAPI document for the Open Inference Protocol and MLflow's scoring protocol."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from app.models.signature import TEXT_TYPES
from app.serving.loading.served_model import ServedModel
from app.serving.protocols import open_inference
from app.serving.requests.tensors import BYTES, DTYPES

JsonSchema: TypeAlias = dict[str, Any]
"""A JSON schema, or a part of an OpenAPI document. The type of a value depends on its key."""


def _answers(*answers: tuple[int, str, JsonSchema]) -> dict[int | str, JsonSchema]:
    """Build the value of FastAPI's `responses` from statuses, descriptions and schemas of JSON."""
    return {
        status: {"description": description, "content": {"application/json": {"schema": schema}}}
        for status, description, schema in answers
    }


INFERENCE_ERROR: Final = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
"""An error in the Open Inference Protocol."""

OBJECT_OR_NULL: Final = {"anyOf": [{"type": "object"}, {"type": "null"}]}

TENSOR: Final = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2},
        "datatype": {"enum": [*DTYPES, BYTES]},
        "parameters": OBJECT_OR_NULL,
        "data": {"type": "array", "items": {}},
    },
    "required": ["name", "shape", "datatype"],
}
"""A tensor in the Open Inference Protocol."""

INFERENCE_RESPONSE: Final = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string", "description": "The id of the request, if it has one."},
        "outputs": {"type": "array", "items": TENSOR},
    },
    "required": ["model_name", "model_version", "outputs"],
}
"""An answer in the Open Inference Protocol."""

REQUESTED_OUTPUT: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "parameters": OBJECT_OR_NULL},
    "required": ["name"],
}
"""An output that a request asks for."""

INFERENCE_REQUEST: Final = {
    "description": "One tensor of all columns, or one tensor for each column.",
    "type": "object",
    "properties": {
        "id": {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "The answer repeats it."},
        "parameters": OBJECT_OR_NULL | {"description": "`binary_data_output` asks for binary outputs."},
        "inputs": {"type": "array", "minItems": 1, "items": TENSOR},
        "outputs": {
            "anyOf": [{"type": "array", "items": REQUESTED_OUTPUT}, {"type": "null"}],
            "description": "The outputs to send. Without it, all.",
        },
    },
    "required": ["inputs"],
}
"""A request in the Open Inference Protocol."""

INVOCATION_ERROR: Final = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}
"""An error in MLflow's scoring protocol."""

INVOCATION_RESPONSE: Final = {
    "type": "object",
    "properties": {
        "predictions": {
            "type": "array",
            "items": {},
            "description": "One prediction per row; a list per row for a model with several outputs.",
        }
    },
    "required": ["predictions"],
}
"""An answer in MLflow's scoring protocol."""

BODY_STATUSES: Final = (
    (400, "The request cannot be used"),
    (401, "The token is missing or not accepted"),
    (408, "The body was not complete in time"),
    (413, "The body has too many rows or bytes"),
    (415, "The content type is not supported"),
    (503, "No version serves, or the replica is overloaded"),
)
"""Statuses of errors of predictions."""

NOT_FOUND: Final = _answers((404, "The service does not serve the model", INFERENCE_ERROR))

MODEL_PROBLEMS: Final = NOT_FOUND | _answers(
    (401, "The token is missing or not accepted", INFERENCE_ERROR),
    (409, "The model was refused", INFERENCE_ERROR),
    (503, "No version serves, or the replica is overloaded", INFERENCE_ERROR),
)

INFERENCE_ANSWERS: Final = (
    _answers((200, "The outputs", INFERENCE_RESPONSE), *((*answer, INFERENCE_ERROR) for answer in BODY_STATUSES))
    | MODEL_PROBLEMS
    | _answers((502, "MLflow does not answer, so that the model cannot be loaded", INFERENCE_ERROR))
)

INVOCATION_ANSWERS: Final = _answers(
    (200, "The predictions", INVOCATION_RESPONSE), *((*answer, INVOCATION_ERROR) for answer in BODY_STATUSES)
)

NOT_READY: Final[dict[int | str, JsonSchema]] = {503: {"description": "Not ready"}}


def invocation_schema(matrix: JsonSchema, named_rows: JsonSchema) -> JsonSchema:
    """Build the schema of a body of `/invocations`.

    Args:
        matrix: Schema of rows by position.
        named_rows: Schema of rows by name.
    """
    names = list(named_rows["items"].get("properties", {}))
    records = named_rows | {"items": {**named_rows["items"], "additionalProperties": True}}
    columns = {"type": "array", "items": {"type": "string"}, **({"const": names} if names else {})}
    split = {
        "type": "object",
        "properties": {"columns": columns, "data": matrix},
        "required": ["columns", "data"],
    }
    forms = {
        "dataframe_split": ("A data frame as `DataFrame.to_dict(orient='split')` gives it.", split),
        "dataframe_records": ("A data frame as `DataFrame.to_dict(orient='records')` gives it.", records),
        "instances": ("Rows by position, or objects as in `dataframe_records`.", matrix),
        "inputs": ("Rows by position, or an object with the values of each column.", matrix),
    }
    return {
        "oneOf": [
            {
                "description": description,
                "type": "object",
                "properties": {key: schema},
                "required": [key],
            }
            for key, (description, schema) in forms.items()
        ]
    }


def invocation_examples(named_rows: Sequence[JsonSchema]) -> list[JsonSchema]:
    """Return examples of bodies of `/invocations`.

    Args:
        named_rows: Rows by name; empty if no example may be shown.
    """
    if not named_rows:
        return []
    split = {"columns": list(named_rows[0]), "data": [list(row.values()) for row in named_rows]}
    return [{"dataframe_split": split}, {"dataframe_records": list(named_rows)}]


def inference_examples(named_rows: Sequence[JsonSchema], served: ServedModel | None) -> list[JsonSchema]:
    """Return examples of inference requests: one tensor of all columns if they hold numbers, and one for each column.

    Args:
        named_rows: Rows by name, without missing values; empty if no example may be shown.
        served: The model that is served, if any.
    """
    if not named_rows or served is None or any(None in row.values() for row in named_rows):
        return []
    columns = served.predictor.columns
    inputs = [
        {
            "name": column.name,
            "shape": [len(named_rows)],
            "datatype": open_inference.INPUT_DATATYPES[column.type],
            "data": [row[column.name] for row in named_rows],
        }
        for column in columns
    ]
    if any(column.type in TEXT_TYPES for column in columns):
        return [{"inputs": inputs}]
    whole = {
        "name": "rows",
        "shape": [len(named_rows), len(columns)],
        "datatype": "FP64",
        "data": [float(row[column.name]) for row in named_rows for column in columns],
    }
    return [{"inputs": [whole]}, {"inputs": inputs}]
