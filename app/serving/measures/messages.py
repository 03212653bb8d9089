"""The messages about what the versions of a model did."""

from datetime import datetime

from app.serving.schemas import Message


class VersionMeasures(Message):
    """What one version did in one role, since the replicas started. Figures are sums over the replicas."""

    version: str
    """Number of the version; `none` for requests that failed before a version was known."""
    role: str
    """`champion`, `challenger`, or `pinned`: a version that requests name by its number."""
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


class ModelMeasures(Message):
    """The measures of a model, by version and role."""

    name: str
    """Name of the registered model."""
    measures: list[VersionMeasures]
    replicas: int
    """Number of replicas whose counts are in the figures."""
    timestamp: datetime
