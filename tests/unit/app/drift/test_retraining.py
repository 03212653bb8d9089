"""When a scheduled judgement begins a retraining."""

from datetime import UTC, datetime, timedelta

import pytest

from app.drift.retraining import Alarm, Decision, decide
from app.records.scheduled_judgements import ScheduledJudgement

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
DAY = timedelta(hours=24)


def judgement(version: str = "3", *, score_fell: bool = False, has_drift: bool = False) -> ScheduledJudgement:
    return ScheduledJudgement(version=version, score_fell=score_fell, has_drift=has_drift or score_fell)


FELL = judgement(score_fell=True)
DRIFT = judgement(has_drift=True)
QUIET = judgement()


def decision(
    *judgements: ScheduledJudgement,
    alarm: Alarm = "score",
    last_retraining: datetime | None = None,
    challenger: str | None = None,
) -> Decision:
    return decide(alarm, "3", judgements, last_retraining=last_retraining, challenger=challenger, now=NOW)


@pytest.mark.parametrize(
    ("alarm", "judgements"),
    [
        ("score", (FELL, FELL)),
        ("score", (FELL, FELL, QUIET)),
        ("drift", (DRIFT, DRIFT)),
        ("drift", (FELL, DRIFT)),
    ],
)
def test_two_alarms_in_succession_begin_a_retraining(alarm: Alarm, judgements: tuple[ScheduledJudgement, ...]) -> None:
    assert decision(*judgements, alarm=alarm).begins


@pytest.mark.parametrize(
    ("alarm", "judgements"),
    [
        ("score", ()),
        ("score", (QUIET, FELL, FELL)),
        ("score", (DRIFT, DRIFT)),
        ("score", (FELL, DRIFT)),
        ("score", (FELL,)),
        ("score", (FELL, QUIET, FELL)),
        ("score", (FELL, judgement("2", score_fell=True), FELL)),
        ("score", (judgement("2", score_fell=True), FELL, FELL)),
        ("drift", (DRIFT, QUIET)),
    ],
)
def test_anything_else_begins_none(alarm: Alarm, judgements: tuple[ScheduledJudgement, ...]) -> None:
    assert not decision(*judgements, alarm=alarm).begins


def test_the_first_alarm_says_that_a_second_one_is_needed() -> None:
    assert str(decision(FELL, QUIET)) == (
        "no retraining: version 3: its score fell in the last scheduled judgement, but not in the one before; next "
        "possible at the next judgement."
    )


def test_a_retraining_says_why_it_begins() -> None:
    assert str(decision(FELL, FELL)) == (
        "retraining begins: version 3: its score fell in two scheduled judgements in succession."
    )


def test_retrainings_of_a_model_begin_24_hours_apart() -> None:
    refused = decision(FELL, FELL, last_retraining=NOW - DAY + timedelta(milliseconds=1))

    assert str(refused) == (
        "no retraining: version 3: its score fell, but a retraining began at 2026-11-28 12:00 UTC; next possible at "
        "2026-11-29 12:00 UTC."
    )
    assert decision(FELL, FELL, last_retraining=NOW - DAY).begins


def test_a_rollout_ends_before_the_next_retraining_begins() -> None:
    assert str(decision(FELL, FELL, challenger="4")) == (
        "no retraining: version 3: its score fell, but a rollout of version 4 runs; next possible when the rollout has "
        "ended."
    )
