import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from starlette.responses import Response

from app.errors import FeaturesError
from app.models.answers import Answers
from app.models.predictor import Predictor
from app.serving.measures.measures import Measures
from app.serving.measures.tally import Answered
from app.serving.model_answer import Reply
from app.serving.protocols.wire import Exchange
from app.serving.rollout.counts import CHALLENGER, KINDS, REQUESTS, RolloutCounts, merge
from app.serving.rollout.decision import Kind
from app.serving.rollout.policy import Policy, RolloutState
from app.serving.rollout.recent_answers import RecentAnswers
from app.serving.rollout.split import Split
from app.serving.rollout.trial import ChallengerTrial
from tests.support.fake_models import served_model

ROWS = np.ones((1, 1))
EXCHANGE = Exchange(
    form=None,
    read=lambda *_, **__: ROWS,
    write=lambda _, served: Response(str(served.version.version)),
)


def new_split(policy: Policy, **state: Any) -> tuple[Split, RolloutCounts]:  # noqa: ANN401 - fields of any type
    counts = RolloutCounts.empty(policy)
    rollout = RolloutState(id="r", version="2", champion="1", policy=policy, started_s=0, step=0, **state)
    return Split(rollout, served_model("2"), counts, RecentAnswers()), counts


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"steps": (0.0,)}, "greater than 0"),
        ({"steps": (100.0,)}, "less than 100"),
        ({"steps": ()}, "at least 1 item"),
        ({"steps": (50.0, 5.0)}, "have to ascend"),
        ({"steps": (5.0, 5.0)}, "have to ascend"),
        ({"steps": (5.0, 50.0), "hold": True}, "hold needs one share"),
        ({"min_rows": 0}, "greater than or equal to 1"),
        ({"steps": (50.0,), "min_rows": 3}, "cannot find even a version that always fails"),
        ({"key": "x y"}, "match pattern"),
        ({"timeout_seconds": 0}, "greater than 0"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Policy(**fields)


def test_the_default_policy_is_possible() -> None:
    assert Policy().share(0) == 0.05
    assert Policy().share(-1) == 0


def test_chance_gives_the_challenger_its_share() -> None:
    split, _ = new_split(Policy(steps=(25.0, 50.0)))

    sides = [split.assign({}).side for _ in range(20_000)]

    assert np.mean(sides) == pytest.approx(0.25, abs=0.02)


def test_a_key_always_gets_the_same_version_and_stays_at_the_challenger_in_later_steps() -> None:
    policy = Policy(steps=(5.0, 50.0), key="X-User")
    first, _ = new_split(policy)
    second = Split(
        first.state.model_copy(update={"step": 1}), first.challenger, RolloutCounts.empty(policy), RecentAnswers()
    )
    users = [{"x-user": f"user {index}"} for index in range(20_000)]

    sides = [first.assign(user).side for user in users]

    assert sides == [first.assign(user).side for user in users]
    assert np.mean(sides) == pytest.approx(0.05, abs=0.01)
    assert all(second.assign(user).side for user, side in zip(users, sides, strict=True) if side)
    assert np.mean([second.assign(user).side for user in users]) == pytest.approx(0.5, abs=0.02)


def test_a_key_counts_once_for_the_test_however_many_requests_and_replicas_it_has() -> None:
    policy = Policy(key="X-User")
    parts = [new_split(policy) for _ in range(2)]
    user = next(user for index in range(1000) if parts[0][0].assign(user := {"x-user": str(index)}).side == CHALLENGER)

    for split, _ in parts:
        for _ in range(5):
            split.add_error(split.assign(user), rows=1)
    total = merge([counts for _, counts in parts])

    assert total.steps(policy)[0].bad[Kind.ERROR] == (1, 1)
    assert total.figures[0, CHALLENGER, KINDS.index(Kind.ERROR)] == 10


def test_an_answer_beyond_the_limit_is_slow() -> None:
    split, counts = new_split(Policy(), slow_s=0.5)
    assignment = split.assign({})._replace(side=CHALLENGER)

    split.add_answer(assignment, rows=3, seconds=0.4)
    split.add_answer(assignment, rows=3, seconds=0.6)
    split.add_wrong(assignment)

    (step, *_) = counts.steps(Policy())
    assert (step.bad[Kind.SLOW], step.bad[Kind.ERROR], step.bad[Kind.WRONG]) == ((1, 1), (0, 0), (1, 1))


class Always(Split):
    """A split that gives every request to one side."""

    side = CHALLENGER

    def assign(self, headers: Any) -> Any:  # noqa: ANN401 - as in `Split`
        return super().assign(headers)._replace(side=self.side)


def answer_of(
    challenger: Callable[..., Answers],
    champion: Callable[[], Answered],
    monkeypatch: pytest.MonkeyPatch,
    *,
    timeout_s: float = 5,
) -> tuple[str, tuple[int, int], Measures]:
    """Send a request to a challenger; return the version that answered, and errors and requests of the challenger."""
    policy = Policy(timeout_seconds=timeout_s)
    split, counts = new_split(policy)
    measures = Measures()
    monkeypatch.setattr(Predictor, "predict", lambda _, rows: challenger(rows))

    async def answer_by_champion() -> Reply:
        return Reply(Response("1"), champion(), good(ROWS), served_model("1"), ended_s=0.0)

    async def send() -> Reply:
        trial = ChallengerTrial(measures, threads=1, max_inline_walks=0)
        always = Always(split.state, split.challenger, counts, RecentAnswers())
        return await trial.answer(always, {}, ROWS, EXCHANGE, answer_by_champion)

    try:
        version = bytes(asyncio.run(send()).response.body).decode()
    except FeaturesError:
        version = "refused"
    errors, requests = counts.figures[0, CHALLENGER, [KINDS.index(Kind.ERROR), REQUESTS]].tolist()
    return version, (errors, requests), measures


def good(rows: np.ndarray) -> Answers:
    return Answers(predictions=np.zeros(len(rows)))


def raises(_: np.ndarray) -> Answers:
    raise ZeroDivisionError


def refuses(_: np.ndarray) -> Answers:
    raise ValueError("an unknown category")


def refused() -> Answered:
    raise FeaturesError("an unknown category")


def slow(rows: np.ndarray) -> Answers:
    time.sleep(0.2)
    return good(rows)


def slow_champion() -> Answered:
    time.sleep(0.1)
    return Answered(1, 0.1, None)


def quick_champion() -> Answered:
    return Answered(1, 0.001, None)


@pytest.mark.parametrize(
    ("challenger", "champion", "timeout_s", "expected"),
    [
        (good, quick_champion, 5, ("2", (0, 1))),
        (raises, quick_champion, 5, ("1", (1, 1))),
        (refuses, quick_champion, 5, ("1", (1, 1))),
        (refuses, refused, 5, ("refused", (0, 0))),
        (slow, quick_champion, 0.05, ("1", (1, 1))),
        (slow, slow_champion, 0.05, ("1", (0, 0))),
    ],
    ids=["good", "raises", "refuses what the champion takes", "both refuse", "no answer in time", "both are slow"],
)
def test_the_champion_answers_what_the_challenger_does_not(
    challenger: Callable[..., Answers],
    champion: Callable[[], Answered],
    timeout_s: float,
    expected: tuple[str, tuple[int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version, counted, measures = answer_of(challenger, champion, monkeypatch, timeout_s=timeout_s)

    assert (version, counted) == expected
    (tally,) = measures.all()
    assert (tally.role.role, tally.errors) == ("challenger", counted[0])
