"""The messages about shadows."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from app.serving.schemas import Answer, Message

Share = Annotated[float, Field(gt=0, le=100)]

Cell = bool | int | float | str | None
"""A value of a row. Null is a missing value."""


class ShadowRequest(Message):
    """The version that answers copies of requests."""

    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$", description="A positive number.")]
    share: Share = 100.0
    """Share of the requests that are copied, in percent."""


class ShadowState(Message):
    """A running shadow. MLflow stores it in the tag `manta.shadow` of the registered model."""

    version: str
    """Number of the version that the alias `shadow` names."""
    share: Share = 100.0
    """Share of the requests that are copied, in percent."""
    started_s: float = 0.0
    """When it began, in seconds since 1970; 0 if the alias was set by hand."""

    def continues(self, other: "ShadowState") -> bool:
        """Whether this is the same shadow as another state, perhaps with another share."""
        return (self.version, self.started_s) == (other.version, other.started_s)


class DifferentRow(Message):
    """A row for which the answers of champion and shadow differ."""

    difference: float
    """See `Differences`."""
    row: list[Cell]
    """The values of at most 200 columns. A text has at most 200 characters."""
    champion: Answer
    """What the champion predicted."""
    shadow: Answer
    """What the shadow predicted."""


class Differences(Message):
    """How much the answers for a row differ. Quantiles are accurate to 7 %.

    This is the largest difference of a class's probability for a classifier, or 1 for another class if it gives no
    probabilities. For a regressor, it is the difference of the predicted numbers.
    """

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


class Latency(Message):
    """Milliseconds to predict a request and to write its answer. Accurate to 19 %; null without requests."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class ShadowFigures(Message):
    """How a shadow compares with a champion, since the replicas hold both. Figures are sums over the replicas."""

    champion: str
    """Number of the champion's version."""
    requests: int
    """Copies that the shadow answered."""
    rows: int
    """Rows of these copies: at most 1,000 of each request."""
    errors: int
    """Copies that the shadow failed to answer."""
    last_error: str | None
    """The last failure of the shadow. Only the kind of the failure if the service shows no examples."""
    dropped: int
    """Copies that were dropped because the shadow was busy."""
    agreement: float | None
    """Share of the rows with the same predicted class, between 0 and 1. Null for a regressor, and without rows."""
    labels: list[str]
    """The classes of `confusion`. The classes after the 20th are counted as `other`."""
    confusion: list[list[int]]
    """Rows by class: one list for each class that the champion predicted, one number in it for each class that the
    shadow predicted. Empty for a regressor, and for a model with several outputs."""
    difference: Differences | None
    """Null without rows."""
    latency: Latency
    """Latency of the shadow."""
    champion_latency: Latency
    """Latency of the champion, for all its requests since the replicas started."""


class ShadowStatus(Message):
    """The running shadow."""

    shadow: ShadowState | None
    """Null if there is none."""
    figures: ShadowFigures | None
    """Null before the first copy of a request."""
    rows: list[DifferentRow]
    """The rows that differ most, at most 20. Empty if the request may not see examples."""
    replicas: int
    """Number of replicas that answered."""
    replicas_ready: int
    """Number of replicas that hold the shadow."""
    trouble: str | None
    """Why a replica cannot hold the shadow, or why the figures are not in MLflow."""
    timestamp: datetime

    def without_rows(self) -> Self:
        """Leave out the rows, and the message of an error, which may contain a value of a row."""
        figures = self.figures
        if figures is not None and figures.last_error is not None:
            figures = figures.model_copy(update={"last_error": figures.last_error.partition(":")[0]})
        return self.model_copy(update={"rows": [], "figures": figures})
