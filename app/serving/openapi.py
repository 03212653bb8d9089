"""The OpenAPI document of a replica: the form, limits and examples of requests to the model that it serves now."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from mlflow.types import DataType

from app import errors
from app.models.signature import Columns
from app.serving.fleet.replica import Replica, ServedModel
from app.serving.requests.json_rows import LARGEST
from app.serving.requests.limits import RequestLimits
from app.serving.schemas import LoadRequest, PredictRequest, PredictRows, Problem


def _problems(*kinds: type[errors.MantaError]) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for errors: a problem document for each status."""
    titles: dict[int, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(kind.title)
    return {
        status: {"description": " or ".join(given), "content": {"application/problem+json": {"schema": PROBLEM}}}
        for status, given in titles.items()
    }


PROBLEM: Final = Problem.model_json_schema()

BODY_PROBLEMS: Final = (errors.TooLargeError, errors.MediaTypeError, errors.InvalidBodyError)

PREDICT_PROBLEMS: Final = _problems(*BODY_PROBLEMS, errors.FeaturesError, errors.UnauthorizedError, errors.NoModelError)

LOAD_PROBLEMS: Final = _problems(
    *BODY_PROBLEMS,
    errors.UnauthorizedError,
    errors.ModelNotFoundError,
    errors.ModelRefusedError,
    errors.LoadInProgressError,
    errors.RegistryUnavailableError,
    errors.PlatformError,
)


WEBHOOK_PROBLEMS: Final = _problems(errors.UnauthorizedError, errors.TooLargeError, errors.MediaTypeError)


WHOLE: Final = {"type": "integer", "minimum": -LARGEST, "maximum": LARGEST}

KIND_SCHEMAS: Final[dict[DataType, dict[str, Any]]] = {
    DataType.long: WHOLE,
    DataType.integer: WHOLE,
    DataType.boolean: {"type": "boolean"},
    DataType.string: {"type": "string"},
}
"""Values by name, where a column does not hold any number."""

POSITION_SCHEMAS: Final = KIND_SCHEMAS | {DataType.boolean: {"enum": [0, 1]}}
"""Values by position, which are numbers always."""


def install(api: FastAPI, replica: Replica, limits: RequestLimits) -> None:
    """Make the API's document follow what the replica serves."""

    def document() -> dict[str, Any]:
        served = replica.served
        columns = served.predictor.columns if served else None
        schema = get_openapi(
            title=api.title, version=api.version, summary=api.summary, routes=api.routes, servers=api.servers
        )
        paths = schema["paths"]
        paths["/predict"]["post"]["requestBody"] = _json_body(
            predict_schema(columns=columns, rows=limits.rows),
            examples=_examples(served) if served else [],
            required=True,
        )
        paths["/model/load"]["post"]["requestBody"] = _json_body(
            LoadRequest.model_json_schema(), examples=[{}, {"alias": "champion"}], required=False
        )
        return schema

    api.openapi = document  # type: ignore[method-assign]


def predict_schema(*, columns: Columns | None, rows: int) -> dict[str, Any]:
    """JSON schema of a prediction request: rows by position, or by the names of the columns.

    Args:
        columns: The model's features; None while no model is served.
        rows: The most rows of one request.
    """
    by_position, by_name = PredictRequest.model_json_schema(), PredictRows.model_json_schema()
    matrix, named = by_position["properties"]["features"], by_name["properties"]["rows"]
    matrix["maxItems"] = named["maxItems"] = rows
    number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    matrix["items"]["items"] |= number
    if columns is None:
        return {"oneOf": [by_position, by_name]}
    kinds = [KIND_SCHEMAS.get(column.type, number) for column in columns]
    named["items"] = {
        "type": "object",
        "properties": {column.name: kind for column, kind in zip(columns, kinds, strict=True)},
        "required": columns.names,
        "additionalProperties": False,
    }
    if columns.hold_text:
        return by_name
    matrix["items"] |= {"minItems": len(columns), "maxItems": len(columns)}
    if any(kind != number for kind in kinds):
        matrix["items"]["prefixItems"] = [POSITION_SCHEMAS.get(column.type, number) for column in columns]
    return {"oneOf": [by_position, by_name]}


def _examples(served: ServedModel) -> list[dict[str, Any]]:
    """The first row of the version's own example, in each form that it takes."""
    columns = served.predictor.columns
    values = served.example.features[0]
    by_name = {"rows": [{column.name: value for column, value in zip(columns, values, strict=True)}]}
    has_text = columns.hold_text
    return [by_name] if has_text else [{"features": [values]}, by_name]


def _json_body(schema: dict[str, Any], *, examples: Sequence[object], required: bool) -> dict[str, Any]:
    named = {f"{HTTPStatus.OK.phrase} {index}": {"value": value} for index, value in enumerate(examples, start=1)}
    return {"required": required, "content": {"application/json": {"schema": schema, "examples": named}}}
