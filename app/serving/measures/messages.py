"""The messages about what the versions of a model did."""

from datetime import datetime

from app.serving.schemas import Message


class VersionMeasures(Message):
    """What one version did in one role, since the replicas started. Figures are sums over the replicas."""

    version: str
    """Number of the version; `none` for requests that failed before a version was known."""
    role: str
    """`champion`, `challenger`, `shadow`, or `pinned`: a version that requests name by its number."""
    requests: int
    """Requests that were answered."""
    rows: int
    """Rows that were predicted."""
    client_errors: int
    """Requests that the client has to correct."""
    errors: int
    """Requests that failed for a reason of the service."""
    p50_ms: float | None
    """Median time to predict a request and to write its answer, without the wait for a thread. Accurate to 19 %."""
    p95_ms: float | None
    p99_ms: float | None
    answers: dict[str, int] | None
    """Rows by predicted class. The classes after the 20th are counted as `other`. Null for a regressor."""
    answer_quantiles: dict[str, float] | None
    """Quantiles of the predicted numbers, accurate to 7 %. Null for a classifier."""


class VersionHistory(Message):
    """What one version did in one role in each slot of the last hour. Each list starts with the oldest slot."""

    version: str
    """Number of the version; `none` for requests that failed before a version was known."""
    role: str
    """See `VersionMeasures`."""
    requests: list[int]
    """Requests that were answered."""
    client_errors: list[int]
    """Requests that the client has to correct."""
    errors: list[int]
    """Requests that failed for a reason of the service."""
    p50_ms: list[float | None]
    """Median time to predict a request and to write its answer. Null for a slot without requests."""
    p95_ms: list[float | None]
    p99_ms: list[float | None]


class MeasuresHistory(Message):
    """The last hour of a model, by version and role. Figures are sums over the replicas that run now."""

    name: str
    """Name of the registered model."""
    begin: datetime | None
    """Start of the first slot; null if there was no request in the last hour."""
    slot_seconds: int
    """Length of a slot in seconds."""
    history: list[VersionHistory]
    replicas: int
    """Number of replicas whose counts are in the figures."""
    timestamp: datetime
    """Time of the answer. The last slot has not ended yet, and counts the requests until this time."""


class ModelMeasures(Message):
    """The measures of a model, by version and role."""

    name: str
    """Name of the registered model."""
    measures: list[VersionMeasures]
    replicas: int
    """Number of replicas whose counts are in the figures."""
    timestamp: datetime
