"""The HTTP contract: what a request may hold and what an answer holds."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import names


class Contract(BaseModel):
    """Base of every message: immutable, and nothing beside what is documented."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoadRequest(Contract):
    """Which version to serve: by number, by alias, or, with neither, the newest that passed its gate."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["version", "alias"]}})

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=names.MODEL_NAME_PATTERN)] | None = None
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$", description="A positive number.")] | None = None
    alias: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")] | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if {"version", "alias"} <= self.model_fields_set:
            raise ValueError("version and alias exclude each other: give one of them, or neither")
        return self


class ModelInfo(Contract):
    """A registered version as MLflow describes it."""

    name: str
    version: str
    stage: str
    """MLflow's own field; stages are deprecated there in favour of aliases."""
    description: str
    creation_timestamp: datetime


class ReplicaInfo(Contract):
    """What one replica serves."""

    replica: str
    version: str | None
    loaded_in_ms: float | None
    """Time from the request for the version until it could answer: download, checks and compilation."""
    refused: str | None = None
    """The version that was refused since the last swap, and why."""


class LoadResponse(Contract):
    """The version that answers from now on."""

    model_loaded: bool
    model_info: ModelInfo
    mlflow_uri: str
    timestamp: datetime
    replicas: list[ReplicaInfo]


class Example(Contract):
    """Rows that training held out, for a first request, and their true labels."""

    features: list[list[float | bool | str]]
    labels: list[str | int | float]


class ModelStatus(Contract):
    """What is served, and by whom."""

    model_loaded: bool
    model_info: ModelInfo | None
    columns: list[str]
    """Names of the features, in the order in which `/predict` takes them."""
    classes: list[str | int]
    """Labels, in the order of the probabilities; none where the model answers without probabilities."""
    example: Example | None
    mlflow_uri: str
    timestamp: datetime
    replicas: list[ReplicaInfo]


class PredictRequest(Contract):
    """Rows to answer: one list of finite numbers a row, each as long as the model has columns."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    features: Annotated[list[Annotated[list[float], Field(min_length=1)]], Field(min_length=1)]


class PredictRows(Contract):
    """Rows to answer, each with a value for every column by its name, in any order."""

    rows: Annotated[list[dict[str, Any]], Field(min_length=1)]


class PredictResponse(Contract):
    """One prediction a row, and of a classifier one list of probabilities."""

    predictions: list[str | int | float]
    probabilities: list[list[float]] | None
    """In the order of `classes` on `GET /model`; null for a model that does not answer with them."""
    model_version: str
    timestamp: datetime


class Health(Contract):
    """Whether this replica answers, and what it serves."""

    status: str
    model_version: str | None
    trouble: str | None = None
    """Why the champion cannot be looked up at present; the replica serves what it has."""


class Problem(BaseModel):
    """An RFC 9457 problem document: what was given, what is allowed, and what to do next."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    allowed: str | None = None
    next_step: str | None = None


def now() -> datetime:
    """The time of an answer, in UTC."""
    return datetime.now(UTC)
