"""The OpenAPI document of a replica: forms, limits and examples of requests to the model that it serves."""

import weakref
from collections.abc import Callable, Collection, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from mlflow.types import DataType

from app.models.signature import Column, Columns
from app.serving import protocol_openapi
from app.serving.access import AccessRules
from app.serving.catalog.catalog import Catalog
from app.serving.loading.served_model import ServedModel
from app.serving.protocol_openapi import JsonSchema
from app.serving.protocols import mlflow_scoring, open_inference
from app.serving.requests.limits import RequestLimits
from app.serving.requests.row_errors import MAX_FLOAT32
from app.serving.schemas import LoadRequest, NamedLoadRequest, PredictRequest, PredictResponse, PredictRows

NAMED_PREDICT: Final = "/models/{name}/predict"
VERSION_PREDICT: Final = "/models/{name}/versions/{version}/predict"
NAMED_LOAD: Final = "/models/{name}/load"

PATH: Final = "/openapi.json"
"""Path of the document."""


WHOLE_NUMBER: Final = {"type": "integer", "minimum": -MAX_FLOAT32, "maximum": MAX_FLOAT32}

NAMED_VALUE_SCHEMAS: Final[dict[DataType, JsonSchema]] = {
    DataType.long: WHOLE_NUMBER,
    DataType.integer: WHOLE_NUMBER,
    DataType.boolean: {"type": "boolean"},
    DataType.string: {"type": "string"},
    DataType.datetime: {"type": "string", "examples": ["2026-01-31", "2026-01-31T12:30:00"]},
}
"""Schema of a value in a row by name, for column types that do not accept every number."""

POSITIONAL_VALUE_SCHEMAS: Final = NAMED_VALUE_SCHEMAS | {DataType.boolean: {"enum": [0, 1]}}
"""The same for a row by position of a model without text, where each value is a number."""


OPTIONAL_ANSWERS: Final = [name for name, field in PredictResponse.model_fields.items() if not field.is_required()]
"""Fields of an answer that some models fill."""


def install(api: FastAPI, catalog: Catalog, *, limits: RequestLimits, access: AccessRules) -> None:
    """Let an API that was created with `openapi_url=None` describe the model that the replica serves at present.

    Args:
        api: The API.
        catalog: The models of the replica.
        limits: What the replica accepts.
        access: Whether a request is shown examples.
    """
    # A document must not keep the models that it describes in memory.
    described: list[weakref.ref[ServedModel]] = []
    documents: dict[frozenset[str], JsonSchema] = {}

    def openapi(shows_examples_of: Callable[[str], bool] = lambda _: True) -> JsonSchema:
        models = _models(catalog)
        if [id(reference()) for reference in described] != list(map(id, models)):
            described[:] = map(weakref.ref, models)
            documents.clear()
        shown = frozenset(name for name, _ in (model.key for model in models) if shows_examples_of(name))
        if shown not in documents:
            documents[shown] = _document(api, catalog, limits, shown)
        return documents[shown]

    @api.get(PATH, include_in_schema=False)
    async def openapi_json(request: Request) -> JSONResponse:
        servers = [{"url": request.scope.get("root_path", "")}]
        return JSONResponse(openapi(partial(access.shows_examples_to, request.headers)) | {"servers": servers})

    # FastAPI's documentation replaces the method in the same way.
    api.openapi = openapi  # type: ignore[method-assign]


def _models(catalog: Catalog) -> list[ServedModel]:
    """Return the models that the replica holds, the default model first if it is loaded."""
    default = catalog.default.served
    return [*([default] if default else []), *catalog.served()]


def _document(api: FastAPI, catalog: Catalog, limits: RequestLimits, shown: Collection[str]) -> JsonSchema:
    """Build the OpenAPI document.

    Args:
        api: The API.
        catalog: The models that the document describes.
        limits: What the replica accepts.
        shown: Names of the models whose example rows the document contains.
    """
    served = catalog.default.served
    schema = get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
    paths = schema["paths"]
    _drop_validation_errors(schema)
    body_schema = predict_schema(columns=served.predictor.columns if served else None, rows=limits.rows)
    examples = _examples(served) if served and served.version.name in shown else []
    paths["/predict"]["post"]["requestBody"] = _json_body(body_schema, examples=examples, required=True)
    _describe_protocols(paths, served, body_schema, examples)
    paths[NAMED_LOAD]["post"]["requestBody"] = _json_body(
        NamedLoadRequest.model_json_schema(), examples=[], required=False
    )
    _describe_models(paths, _models(catalog), limits, shown)
    if served:
        _keep_given_answers(schema["components"]["schemas"][PredictResponse.__name__], served.predictor.answers)
    paths["/model/load"]["post"]["requestBody"] = _json_body(
        LoadRequest.model_json_schema(), examples=[{}, {"alias": "champion"}], required=False
    )
    return schema


def _drop_validation_errors(schema: JsonSchema) -> None:
    """Drop the errors that FastAPI documents for every path with a parameter. Any text is a valid parameter here."""
    schemas = schema["components"]["schemas"]
    if schemas.pop("HTTPValidationError", None) is None:
        return
    del schemas["ValidationError"]
    for methods in schema["paths"].values():
        for operation in methods.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]


def _describe_models(
    paths: JsonSchema, models: Sequence[ServedModel], limits: RequestLimits, shown: Collection[str]
) -> None:
    """Describe the predictions of each model, with its own columns and example."""
    generic = paths[NAMED_PREDICT]["post"]
    generic["requestBody"] = _json_body(predict_schema(columns=None, rows=limits.rows), examples=[], required=True)
    paths[VERSION_PREDICT]["post"]["requestBody"] = generic["requestBody"]
    for model in models:
        name = model.version.name
        operation = {key: value for key, value in generic.items() if key != "parameters"}
        operation["operationId"] = f"predict_{name}"
        operation["summary"] = f"Predict {name}"
        operation["requestBody"] = _json_body(
            predict_schema(columns=model.predictor.columns, rows=limits.rows),
            examples=_examples(model) if name in shown else [],
            required=True,
        )
        paths[NAMED_PREDICT.format(name=quote(name, safe=""))] = {"post": operation}


def _describe_protocols(
    paths: JsonSchema, served: ServedModel | None, body_schema: JsonSchema, examples: Sequence[JsonSchema]
) -> None:
    """Describe the bodies of the other protocols."""
    by_position, by_name = body_schema["oneOf"]
    matrix, named_rows = by_position["properties"]["features"], by_name["properties"]["rows"]
    rows = examples[-1]["rows"] if examples else []
    paths[mlflow_scoring.INVOCATIONS]["post"]["requestBody"] = _json_body(
        protocol_openapi.invocation_schema(matrix, named_rows),
        examples=protocol_openapi.invocation_examples(rows),
        required=True,
    )
    inference_body = _json_body(
        protocol_openapi.INFERENCE_REQUEST,
        examples=protocol_openapi.inference_examples(rows, served),
        required=True,
    )
    for path, methods in paths.items():
        if not path.startswith(open_inference.ROOT):
            continue
        for operation in methods.values():
            if path.endswith("/infer"):
                operation["requestBody"] = inference_body
            values = {"name": served.version.name, "version": str(served.version.version)} if served else {}
            for parameter in operation.get("parameters", []):
                if parameter["name"] in values:
                    parameter["example"] = values[parameter["name"]]


def _keep_given_answers(schema: JsonSchema, given: Sequence[str]) -> None:
    """Let the schema of an answer name exactly the optional fields that the served model fills."""
    for name in OPTIONAL_ANSWERS:
        if name in given:
            schema["required"].append(name)
        else:
            del schema["properties"][name]


def predict_schema(*, columns: Columns | None, rows: int) -> JsonSchema:
    """Build the JSON schema of a prediction request: rows by position, or rows by column name.

    Args:
        columns: The model's columns; None if no model is served.
        rows: Maximum number of rows.
    """
    by_position, by_name = PredictRequest.model_json_schema(), PredictRows.model_json_schema()
    matrix, named_rows = by_position["properties"]["features"], by_name["properties"]["rows"]
    matrix["maxItems"] = named_rows["maxItems"] = rows
    number = {"type": "number", "minimum": -MAX_FLOAT32, "maximum": MAX_FLOAT32}
    matrix["items"]["items"] |= number
    if columns is None:
        return {"oneOf": [by_position, by_name]}
    value_schemas = [_or_null(column, NAMED_VALUE_SCHEMAS.get(column.type, number)) for column in columns]
    named_rows["items"] = {
        "type": "object",
        "properties": {column.name: schema for column, schema in zip(columns, value_schemas, strict=True)},
        "required": [column.name for column in columns if not column.is_optional],
        "additionalProperties": False,
    }
    matrix["items"] |= {"minItems": len(columns), "maxItems": len(columns)}
    if any(schema != number for schema in value_schemas):
        schemas = NAMED_VALUE_SCHEMAS if columns.hold_text else POSITIONAL_VALUE_SCHEMAS
        matrix["items"]["prefixItems"] = [_or_null(column, schemas.get(column.type, number)) for column in columns]
        matrix["items"]["items"] = {}
    return {"oneOf": [by_position, by_name]}


def _or_null(column: Column, schema: JsonSchema) -> JsonSchema:
    return {"anyOf": [schema, {"type": "null"}]} if column.is_optional else schema


def _examples(served: ServedModel) -> list[JsonSchema]:
    """Return a row of the input example that the model accepts, if possible one without a gap, in both forms."""
    columns = served.predictor.columns
    required = [index for index, column in enumerate(columns) if not column.is_optional]
    accepted = [row for row in served.example.features if all(row[index] is not None for index in required)]
    values = min(accepted, key=lambda row: None in row, default=None)
    if values is None:
        return []
    by_name = {"rows": [{column.name: value for column, value in zip(columns, values, strict=True)}]}
    return [{"features": [values]}, by_name]


def _json_body(schema: JsonSchema, *, examples: Sequence[object], required: bool) -> JsonSchema:
    examples_by_name = {
        f"{HTTPStatus.OK.phrase} {index}": {"value": value} for index, value in enumerate(examples, start=1)
    }
    return {"required": required, "content": {"application/json": {"schema": schema, "examples": examples_by_name}}}
