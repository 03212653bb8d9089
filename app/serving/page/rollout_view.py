"""What the page shows of a rollout."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.serving.rollout.decision import Kind
from app.serving.rollout.messages import RolloutStatus, StepFigures
from app.serving.rollout.policy import RolloutState
from app.serving.rollout.rollout_status import FIELDS

NAMES: Final = {Kind.ERROR: "Errors", Kind.SLOW: "Slow answers", Kind.WRONG: "Wrong answers"}
"""Name of each kind of bad requests, in the order of the table."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a rollout."""

    share: float
    """Share of the requests in percent."""
    state: str
    """`done`, `current` or `next`."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How strongly one kind of bad requests speaks against the new version."""

    name: str
    challenger: str
    champion: str
    """Number of bad requests and of all requests, such as `3 of 1,200`."""
    value: float
    """E-value."""
    percent: float
    """Length of the bar in percent: 0 for an e-value of 1, 100 at the limit, logarithmic in between."""


@dataclass(frozen=True, kw_only=True)
class RolloutView:
    """The running or the last rollout.

    Args:
        state: The rollout.
        status: The answer of `GET /model/rollout`.
    """

    state: RolloutState
    status: RolloutStatus

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self.state.verdict is None

    @property
    def began(self) -> datetime:
        """When it began."""
        return datetime.fromtimestamp(self.state.started_s, UTC)

    @property
    def steps(self) -> list[Step]:
        """The steps, and the last one at which the version becomes the champion."""
        policy = self.state.policy
        shares = [*policy.steps, *([] if policy.hold else [100.0])]
        current = len(shares) if self.state.verdict == "promoted" else self.state.step
        return [
            Step(share=share, state="done" if index < current else "current" if index == current else "next")
            for index, share in enumerate(shares)
        ]

    @property
    def rows(self) -> int:
        """Rows that the version has answered in the current step."""
        figures = self._figures(self.state.version)
        return figures[-1].rows if figures and len(figures) == self.state.step + 1 else 0

    @property
    def seconds(self) -> float:
        """Age of the current step in seconds."""
        return max(0.0, self.status.timestamp.timestamp() - self.state.step_began_s)

    @property
    def evidence(self) -> list[Evidence]:
        """The evidence by kind. Wrong answers are left out until a label says that an answer is wrong."""
        challenger, champion = self._figures(self.state.version), self._figures(self.state.champion)
        return [
            Evidence(
                name=name,
                challenger=_bad_of_all(challenger, FIELDS[kind]),
                champion=_bad_of_all(champion, FIELDS[kind]),
                value=self.status.e_values[kind],
                percent=self._percent(self.status.e_values[kind]),
            )
            for kind, name in NAMES.items()
            if kind in self.status.e_values and (kind != Kind.WRONG or _count([*challenger, *champion], FIELDS[kind]))
        ]

    @property
    def mean(self) -> float | None:
        """The e-value that decides; None before the first step."""
        return self.status.e_values.get("mean")

    @property
    def mean_percent(self) -> float:
        """See `Evidence.percent`."""
        return self._percent(self.mean or 0.0)

    def _figures(self, version: str) -> list[StepFigures]:
        return [figures for figures in self.status.figures if figures.version == version]

    def _percent(self, value: float) -> float:
        return round(100 * min(1.0, max(0.0, math.log(max(value, 1.0)) / math.log(self.status.limit))), 1)


def build(status: RolloutStatus) -> RolloutView | None:
    """Build the view; None if there was no rollout."""
    return None if status.rollout is None else RolloutView(state=status.rollout, status=status)


def _count(figures: Sequence[StepFigures], field: str) -> int:
    return sum(getattr(step, field) for step in figures)


def _bad_of_all(figures: Sequence[StepFigures], field: str) -> str:
    return f"{_count(figures, field):,} of {_count(figures, 'requests'):,}"
