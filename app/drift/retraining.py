"""Decides whether a scheduled judgement begins a retraining of the champion.

`app.drift.repeated_options` finds the options of the training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from app.records.scheduled_judgements import ScheduledJudgement

JUDGEMENTS: Final = 2
"""Number of alarms in succession that begin a retraining."""

PAUSE: Final = timedelta(hours=24)
"""Shortest time between the beginnings of two retrainings of a model."""

Alarm = Literal["score", "drift"]

NEVER: Final = "retrainOn is never."

ALARMS: Final[dict[Alarm, str]] = {"score": "its score fell", "drift": "its requests or its score changed"}
"""What each alarm says about a version."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a retraining begins, and why."""

    begins: bool
    reason: str

    def __str__(self) -> str:
        return f"retraining begins: {self.reason}" if self.begins else f"no retraining: {self.reason}"


def refuse(reason: str) -> Decision:
    """Return the decision that no retraining begins."""
    return Decision(begins=False, reason=reason)


def decide(
    alarm: Alarm,
    champion: str,
    judgements: Sequence[ScheduledJudgement],
    *,
    last_retraining: datetime | None,
    challenger: str | None,
    now: datetime,
) -> Decision:
    """Decide whether a retraining of a model begins.

    A retraining begins if the newest two scheduled judgements are both about the champion and both raise the alarm,
    the model has no challenger, and no retraining of the model has begun in the last 24 hours.

    Args:
        alarm: `score`: only a fallen score counts. `drift`: every alarm of a judgement counts.
        champion: Number of the version that is the champion now.
        judgements: The newest scheduled judgements about the model, newest first.
        last_retraining: When the last retraining of the model began; None if there was none.
        challenger: Number of the version that a rollout tries; None without a rollout.
        now: The present time.
    """
    alarms = 0
    for judgement in judgements[:JUDGEMENTS]:
        is_alarm = judgement.score_fell if alarm == "score" else judgement.has_drift
        if judgement.version != champion or not is_alarm:
            break
        alarms += 1
    finding = f"version {champion}: {ALARMS[alarm]}"
    if alarms == 0:
        return refuse(f"the judgement raises no alarm that retrainOn: {alarm} waits for.")
    if alarms < JUDGEMENTS:
        return refuse(
            f"{finding} in the last scheduled judgement, but not in the one before; next possible at the next "
            "judgement."
        )
    if last_retraining is not None and now - last_retraining < PAUSE:
        return refuse(
            f"{finding}, but a retraining began at {_minute(last_retraining)}; next possible at "
            f"{_minute(last_retraining + PAUSE)}."
        )
    if challenger is not None:
        return refuse(
            f"{finding}, but a rollout of version {challenger} runs; next possible when the rollout has ended."
        )
    return Decision(begins=True, reason=f"{finding} in two scheduled judgements in succession.")


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
