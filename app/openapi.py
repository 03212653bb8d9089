"""The OpenAPI document of a replica: the form, limits and examples of requests to the model that it serves now."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app import errors
from app.features import LARGEST
from app.replica import Replica
from app.schemas import LoadRequest, PredictRequest, Problem


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest request that a replica takes."""

    rows: int
    """Rows of one prediction request."""
    body_bytes: int
    """Bytes of one request's body."""


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

PREDICT_PROBLEMS: Final = _problems(*BODY_PROBLEMS, errors.FeaturesError, errors.NoModelError)

LOAD_PROBLEMS: Final = _problems(
    *BODY_PROBLEMS,
    errors.UnauthorizedError,
    errors.ModelNotFoundError,
    errors.ModelRefusedError,
    errors.LoadInProgressError,
    errors.RegistryUnavailableError,
)


def install(api: FastAPI, replica: Replica, limits: Limits) -> None:
    """Make the API's document follow what the replica serves."""

    def document() -> dict[str, Any]:
        served = replica.served
        columns = len(served.predictor.columns) if served else None
        example = served.example.features[:1] if served else None
        schema = get_openapi(
            title=api.title, version=api.version, summary=api.summary, routes=api.routes, servers=api.servers
        )
        paths = schema["paths"]
        paths["/predict"]["post"]["requestBody"] = _json_body(
            predict_schema(columns=columns, rows=limits.rows),
            examples=[{"features": example}] if example else [],
            required=True,
        )
        paths["/model/load"]["post"]["requestBody"] = _json_body(
            LoadRequest.model_json_schema(), examples=[{}, {"alias": "champion"}], required=False
        )
        return schema

    api.openapi = document  # type: ignore[method-assign]


def predict_schema(*, columns: int | None, rows: int) -> dict[str, Any]:
    """JSON schema of a prediction request.

    Args:
        columns: Width of a row; None while no model is served.
        rows: The most rows of one request.
    """
    schema = PredictRequest.model_json_schema()
    matrix = schema["properties"]["features"]
    matrix["maxItems"] = rows
    matrix["items"]["items"] |= {"minimum": -LARGEST, "maximum": LARGEST}
    if columns is not None:
        matrix["items"] |= {"minItems": columns, "maxItems": columns}
    return schema


def _json_body(schema: dict[str, Any], *, examples: Sequence[object], required: bool) -> dict[str, Any]:
    named = {f"{HTTPStatus.OK.phrase} {index}": {"value": value} for index, value in enumerate(examples, start=1)}
    return {"required": required, "content": {"application/json": {"schema": schema, "examples": named}}}
