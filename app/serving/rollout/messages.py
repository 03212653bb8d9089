"""The messages about rollouts."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from app.serving.rollout.policy import Policy, RolloutState
from app.serving.schemas import Message


class RolloutRequest(Policy):
    """The version that takes the traffic, and how."""

    version: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$", description="A positive number.")]

    @property
    def policy(self) -> Policy:
        """How the version takes the traffic."""
        return Policy(**self.model_dump(exclude={"version"}))


class StepFigures(Message):
    """What one version did in one step, on all replicas."""

    share: float
    """Share of the requests that the new version answers in this step, in percent."""
    version: str
    requests: int
    rows: int
    errors: int
    """Requests that the version failed to answer. The champion has answered those of the new version."""
    slow: int
    """Requests that took longer than `slow_ms`."""
    wrong: int
    """Answers that a true label has contradicted."""


class RolloutStatus(Message):
    """The running or the last rollout."""

    rollout: RolloutState | None
    """Null if there was none."""
    share: float
    """Share of the requests that the new version answers at present, in percent."""
    figures: list[StepFigures]
    e_values: dict[str, float]
    """Evidence against the new version by kind of bad requests, and the mean, at most 1e12. The version goes back at a
    mean of `limit`."""
    limit: float
    slow_ms: float | None
    """Requests that take longer count as slow: the p95 of the champion before the rollout."""
    disagreement: float | None
    """Percentage of the compared rows for which the two versions predict different classes. Null if nothing was
    compared, and without `max_disagreement`."""
    compared_rows: int
    """Rows that both versions have answered, for the comparison."""
    replicas: int
    """Number of replicas that answered."""
    replicas_ready: int
    """Number of replicas that hold both versions."""
    trouble: str | None
    """Why no step can be taken at present: MLflow does not answer, or the rollout waits for a person."""
    timestamp: datetime
