"""How a rollout goes from step to step, and how its state is stored in MLflow."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from app.models.version_choice import REPLACED_TAG, ROLLOUT_VERDICT_TAG
from app.serving.rollout.decision import can_decide
from app.serving.schemas import Message

DEFAULT_STEPS: Final = (5.0, 10.0, 25.0, 50.0, 95.0)
"""Shares of the default policy, in percent. After the last step the version takes all traffic."""

Share = Annotated[float, Field(gt=0, lt=100)]

Verdict = Literal["promoted", "rolled back", "aborted", "refused", "held"]


class Policy(Message):
    """How a rollout goes from step to step."""

    steps: Annotated[tuple[Share, ...], Field(min_length=1, max_length=20)] = DEFAULT_STEPS
    """Shares of the requests that the version answers, in percent, in ascending order. It takes all traffic after the
    last step."""
    min_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 300
    """Rows that the version has to answer in each step. No failure in 300 rows bounds the failure rate at 1 %."""
    min_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 60.0
    """Shortest duration of a step."""
    bake_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 0.0
    """Shortest duration of the last step, in which the champion keeps the rest of the requests and the test goes on."""
    key: Annotated[str, Field(max_length=100, pattern=r"^[A-Za-z0-9-]*$")] = ""
    """Header whose value decides which version answers, so that a user always gets the same one. Empty: chance
    decides."""
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Time after which the champion answers in place of the version."""
    max_disagreement: Annotated[float, Field(ge=0, lt=100)] | None = None
    """Largest percentage of rows for which the two versions may predict different classes. Above it, no step ends by
    itself: a person decides. Null: no limit."""
    hold: bool = False
    """Whether the rollout only compares the versions, at the share of its one step. Then the champion answers all
    requests again."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"steps are {list(self.steps)}: they have to ascend, without a share twice")
        if self.hold and len(self.steps) != 1:
            raise ValueError(f"hold needs one share, but steps are {list(self.steps)}")
        if self.hold and self.max_disagreement is not None:
            raise ValueError("hold and max_disagreement exclude each other: a rollout that holds takes no further step")
        if not can_decide([share / 100 for share in self.steps], self.min_rows):
            raise ValueError(
                f"with min_rows {self.min_rows} the test cannot find even a version that always fails: "
                "raise min_rows, or begin with a smaller share"
            )
        return self

    def shortest_s(self, step: int) -> float:
        """Return the shortest duration of a step."""
        is_last = step + 1 == len(self.steps)
        return max(self.min_seconds, self.bake_seconds) if is_last else self.min_seconds

    def share(self, step: int) -> float:
        """Return the chance that a request goes to the version; 0 before the first step."""
        return self.steps[step] / 100 if step >= 0 else 0.0


class RolloutState(Message):
    """A rollout as the tag of the registered model stores it."""

    id: str
    version: str
    """Number of the version that takes the traffic."""
    champion: str
    """Number of the version that served at the start."""
    policy: Policy
    started_s: float
    """Seconds since 1970."""
    step: int = -1
    """Index of the step; -1 until every replica holds both versions."""
    step_began_s: float = 0.0
    """Seconds since 1970."""
    held_step: int = -1
    """Index of the last step that had to wait for a person; -1 without such a step."""
    slow_s: float | None = None
    """Requests that take longer count as slow; null until the champion has answered enough requests to know its p95."""
    verdict: Verdict | None = None
    """How the rollout ended; null while it runs."""
    reason: str = ""
    """Why it ended so."""
    figures: Mapping[str, str] = Field(default_factory=dict)
    """Tags of the version that say more about the end: e-values, requests, seconds."""
    is_closed: bool = False
    """Whether the verdict of an ended rollout is on the version, and the alias was deleted."""

    @property
    def is_held(self) -> bool:
        """Whether the rollout waits for a person."""
        return self.verdict is None and self.step >= 0 and self.held_step == self.step

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the version that say how the rollout ended."""
        tags = {ROLLOUT_VERDICT_TAG: str(self.verdict), "rollout.reason": self.reason, REPLACED_TAG: self.champion}
        return tags | dict(self.figures)
