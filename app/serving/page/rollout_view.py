"""What the page shows of a rollout."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.serving.rollout.messages import RolloutStatus, StepFigures
from app.serving.rollout.policy import RolloutState

NAMES: Final = {"error": "Errors", "slow": "Slow answers", "wrong": "Wrong answers"}
"""Name of each kind of bad requests, in the order of the table."""

FIELDS: Final = {"error": "errors", "slow": "slow", "wrong": "wrong"}
"""Field of `StepFigures` for each kind."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a rollout."""

    share: float
    """Share of the requests in percent."""
    state: str
    """`done`, `current` or `next`."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks against the new version, of one kind."""

    name: str
    challenger: str
    champion: str
    """Bad requests of all requests."""
    value: float
    """E-value."""
    percent: float
    """Part of the way from no evidence (1) to the limit, on a logarithmic scale, in percent."""


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
        policy, current = self.state.policy, self.state.step
        shares = [*policy.steps, *([] if policy.hold else [100.0])]
        current = len(shares) if self.state.verdict == "promoted" else current
        return [
            Step(share=share, state="done" if index < current else "current" if index == current else "next")
            for index, share in enumerate(shares)
        ]

    @property
    def rows(self) -> int:
        """Rows that the version has answered in the current step."""
        own = self._figures(self.state.version)
        return own[-1].rows if own and len(own) == self.state.step + 1 else 0

    @property
    def seconds(self) -> float:
        """Age of the current step in seconds."""
        return max(0.0, self.status.timestamp.timestamp() - self.state.step_began_s)

    @property
    def evidence(self) -> list[Evidence]:
        """The evidence by kind. A kind that no request was of is left out."""
        challenger, champion = self._figures(self.state.version), self._figures(self.state.champion)
        return [
            Evidence(
                name=name,
                challenger=_part(challenger, FIELDS[kind]),
                champion=_part(champion, FIELDS[kind]),
                value=self.status.e_values[kind],
                percent=self._percent(self.status.e_values[kind]),
            )
            for kind, name in NAMES.items()
            if kind in self.status.e_values and (kind != "wrong" or _count([*challenger, *champion], FIELDS[kind]))
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


def _part(figures: Sequence[StepFigures], field: str) -> str:
    return f"{_count(figures, field):,} of {_count(figures, 'requests'):,}"
