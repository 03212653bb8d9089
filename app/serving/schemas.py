"""The messages of the HTTP API: JSON bodies of requests and answers."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app import names

SelfTest = Literal["passed", "not compared", "no example"]
"""How a version was tried when it was loaded: its predictions for the stored example are those that were recorded; it
predicted the example, but no predictions were recorded; or it has no example."""


class Message(BaseModel):
    """Base class of the messages: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Label: TypeAlias = bool | str | int | float
"""A prediction or a true label."""

Answer: TypeAlias = Label | list[Label]
"""The prediction for one row: one value, or one for each output."""


Selection = TypeVar("Selection", bound=BaseModel)


def _require_unambiguous(request: Selection) -> Selection:
    if {"version", "alias"} <= request.model_fields_set:
        raise ValueError("version and alias exclude each other: send one of them, or neither")
    return request


class LoadRequest(Message):
    """The version to load: by number, by alias, or the newest version that qualifies.

    A version qualifies if it passed its gate, was not trained with `--no-promote` and was not rolled back. A version
    that is older than the champion does not qualify.
    """

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["version", "alias"]}})

    name: Annotated[str, Field(min_length=1, max_length=256, pattern=names.MODEL_NAME_PATTERN)] | None = None
    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$", description="A positive number.")] | None = None
    alias: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")] | None = None

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        return _require_unambiguous(self)


class NamedLoadRequest(Message):
    """The version of a model to load: by number, by alias, or the newest version that qualifies; see `/model/load`."""

    model_config = ConfigDict(json_schema_extra={"not": {"required": ["version", "alias"]}})

    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$", description="A positive number.")] | None = None
    alias: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")] | None = None

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        return _require_unambiguous(self)

    def with_name(self, name: str) -> LoadRequest:
        """Build the request for a model."""
        return LoadRequest.model_construct(self.model_fields_set, name=name, version=self.version, alias=self.alias)


class ModelInfo(Message):
    """A model version, as MLflow describes it."""

    name: str
    """Name of the registered model."""
    version: str
    """Number of the version."""
    stage: str
    """MLflow's stage. MLflow has deprecated stages in favor of aliases."""
    description: str
    creation_timestamp: int
    """Milliseconds since 1970, in UTC."""


class ReplicaInfo(Message):
    """What one replica serves."""

    replica: str
    """Name of the replica in Ray Serve."""
    version: str | None
    """Number of the version; null before the first load."""
    loaded_in_ms: float | None
    """Duration of download, checks and compilation, in milliseconds."""
    refused: str | None = None
    """The version that was refused since the last swap, and the reason."""


class LoadResponse(Message):
    """The version that every replica serves now."""

    model_loaded: bool
    model_info: ModelInfo
    mlflow_uri: str
    timestamp: datetime
    replicas: list[ReplicaInfo]


class Example(Message):
    """A few held-out rows for a first request, and their true labels."""

    features: list[list[bool | float | str | None]]
    """Values in the order of the columns; null for a missing value."""
    labels: list[Answer | None]
    """True labels of the rows; a list per row for a model with several outputs."""

    @field_validator("features", "labels", mode="before")
    @classmethod
    def _without_nan(cls, values: Sequence[object]) -> list[object]:
        """Replace numbers that JSON cannot express."""
        return [cls._without_nan(value) if isinstance(value, list) else _finite_or_none(value) for value in values]


class ModelStatus(Message):
    """The model that is served, and what each replica serves."""

    model_loaded: bool
    model_info: ModelInfo | None
    columns: list[str]
    """Names of the features, in the order of the values in a row of `/predict`."""
    column_types: list[str]
    """Type of each feature: `double`, `float`, `long`, `integer`, `boolean`, `string` or `datetime`."""
    classes: list[bool | str | int]
    """Class labels, in the order of the probabilities; empty if the model gives no probabilities."""
    output_classes: list[list[Label]]
    """Class labels of each output of a classifier with several outputs; empty for any other model."""
    optional_columns: list[str]
    """Columns in which the model takes missing values: null, NaN, or absent from a row by name."""
    answers: list[str]
    """Fields of an answer of `/predict` that the model fills."""
    self_test: SelfTest | None
    """`passed`: the model predicts its stored example as recorded. `not compared`: it predicts the example, but no
    predictions were recorded. `no example`: it was not tried. Null if no model is served."""
    example: Example | None
    """Null if no model is served, if the service does not show examples, or if predictions need a token and the request
    has none."""
    mlflow_uri: str
    timestamp: datetime
    replicas: list[ReplicaInfo]


class VersionSummary(Message):
    """One version of a registered model."""

    version: str
    """Number of the version."""
    created: datetime
    """When it was registered."""
    description: str
    aliases: list[str]
    """MLflow's aliases of the version. `champion` names the version that serves."""
    gate: str
    """Verdict of the gate: `passed`, `failed` or `forced`; empty if no gate judged the version."""
    reason: str
    """What the gate compared, in sentences; empty if no gate judged the version."""
    metric: str
    """Name and value of the metric that the gate compared; empty if no gate judged the version."""
    was_rolled_back: bool
    """Whether an older version replaced it while it was the champion."""


class VersionList(Message):
    """The newest versions of the default model, newest first."""

    name: str
    """Name of the registered model."""
    versions: list[VersionSummary]
    timestamp: datetime
    """When MLflow was asked."""


class ModelSummary(Message):
    """One model of the service. Figures are sums over the replicas."""

    name: str
    """Name of the registered model."""
    is_default: bool
    """Whether it is the default model, which is loaded at the start and never put out of memory."""
    state: Literal["loaded", "loading", "not loaded"]
    """A model that is not loaded is loaded by its first request."""
    version: str | None
    """Number of the version that answers; null if the model is not loaded."""
    champion: str | None
    """Number of the version that MLflow's alias `champion` names."""
    size_bytes: int
    """Memory of the model on all replicas, with versions that were asked for by number."""
    replicas: int
    """Number of replicas that hold the model."""
    last_used: datetime | None
    """Time of the last request; null without one."""
    requests: int
    """Requests since the replicas started."""
    refused: str | None
    """The version that was refused since the last swap, and the reason."""


class ModelList(Message):
    """The models of the service: the default model first, then the others by name."""

    models: list[ModelSummary]
    memory_limit_bytes: int
    """Memory of one replica for all models except the default one."""
    trouble: str | None
    """Why MLflow could not be asked for the models last time."""
    timestamp: datetime


class Withdrawal(Message):
    """A model that the service does not serve any more."""

    name: str
    is_served: bool


class PredictRequest(Message):
    """Rows by position: each row is a list of finite numbers, one for each column of the model."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    features: Annotated[list[Annotated[list[float], Field(min_length=1)]], Field(min_length=1)]


class PredictRows(Message):
    """Rows by name: each row has one value for each column of the model, in any order."""

    rows: Annotated[list[dict[str, Any]], Field(min_length=1)]  # `json_rows` checks the values


class PredictResponse(Message):
    """The predictions for the rows of a request."""

    predictions: list[Answer]
    """One prediction per row; a list per row for a model with several outputs."""
    probabilities: list[list[float]] | None
    """One list per row, in the order of `classes` on `GET /model`; null if the model gives no probabilities."""
    output_probabilities: list[list[list[float]]] | None = None
    """One list per row and output, in the order of `output_classes` on `GET /model`. Only for classifiers with several
    outputs."""
    decision: list[float | list[float]] | None = None
    """What scikit-learn's `decision_function` returns. Only for classifiers without probabilities."""
    std: list[float | list[float]] | None = None
    """Standard deviation of each prediction. Only for regressors that know it, such as Gaussian processes."""
    model_version: str
    timestamp: datetime


class Health(Message):
    """Whether this replica answers, and what it serves."""

    status: str
    model_version: str | None
    trouble: str | None = None
    """Why the champion cannot be looked up at present. The replica keeps serving its version."""


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    title: str
    status: int
    detail: str
    """Which value cannot be used, and why."""
    instance: str
    """Path of the request."""
    allowed: str | None = None
    """What is accepted."""
    next_step: str | None = None
    """What to do next."""
    request_id: str | None = None
    """Header `X-Request-Id` of the request, which the log names too."""


def _finite_or_none(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
