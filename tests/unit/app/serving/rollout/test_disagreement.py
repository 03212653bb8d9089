"""A rollout whose versions predict different classes too often waits for a person."""

import logging
from dataclasses import replace

import pytest
from sklearn.tree import DecisionTreeClassifier

from app.errors import RolloutError
from app.models.predictor import Predictor, compile_model
from app.serving.rollout import rollout_status
from app.serving.rollout.policy import Policy
from app.serving.schemas import LoadRequest
from app.serving.shadow.messages import ShadowRequest
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import ARTIFACT, EXAMPLE, FakeRegistry
from tests.support.rollouts import run, send, shares, state, verdict
from tests.support.shadows import client_of, figures

POLICY = Policy(steps=(50.0,), min_rows=10, min_seconds=0, max_disagreement=5)


def classifier(*classes: str) -> Predictor:
    """A model that predicts these classes for the two example rows."""
    return compile_model(replace(ARTIFACT, model=DecisionTreeClassifier().fit(EXAMPLE, list(classes))), label="m")


CHAMPION, OPPOSITE = classifier("x", "y"), classifier("y", "x")


async def begin(members: list[Member], challenger: Predictor) -> None:
    for member in members:
        member.loader.predictors |= {"5": CHAMPION, "6": challenger, "7": CHAMPION}
    await members[0].fleet.load(LoadRequest(version="5"))
    await members[0].rollouts.begin("6", POLICY)


async def request_and_poll(member: Member) -> None:
    """Send enough requests for both versions, wait until they are compared, and take the next step."""
    async with client_of(member) as client:
        for _ in range(30):
            answer = await client.post("/predict", json={"features": [[1.0], [2.0]] * 5})
            assert answer.status_code == 200, answer.text
    await until(lambda: compared_rows(member) >= POLICY.min_rows)
    await member.rollouts.poll()


def compared_rows(member: Member) -> int:
    return member.rollouts.member.report(member.rollouts.state).disagreement.rows


def test_versions_that_disagree_wait_for_a_person(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members, OPPOSITE)
        with caplog.at_level(logging.WARNING):
            await request_and_poll(members[0])
            await members[0].rollouts.poll()

        status = await rollout_status.describe(members[0].rollouts)

        assert (verdict(members[0]), shares(members), registry.alias) == (None, [0.5], "5")
        assert state(members[0]).is_held
        assert status.disagreement == 100
        assert "different classes for 100 % of" in str(status.trouble)
        assert "max_disagreement is 5 %. The rollout waits for you: `manta" in str(status.trouble)
        assert "`manta rollout promote --name m` or `manta rollout abort --name m`" in str(status.trouble)
        assert [getattr(record, "event", "") for record in caplog.records].count("rollout_held") == 1
        await members[0].rollouts.promote()
        assert (verdict(members[0]), registry.alias) == ("promoted", "6")

    run(scenario, replicas=1)


def test_versions_that_agree_take_the_next_step() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members, CHAMPION)

        await request_and_poll(members[0])

        assert (verdict(members[0]), registry.alias) == ("promoted", "6")
        assert compared_rows(members[0]) == 0

    run(scenario, replicas=1)


def test_no_step_ends_before_enough_rows_were_compared() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await begin(members, CHAMPION)
        send(members, 100)

        await members[0].rollouts.poll()

        assert (verdict(members[0]), state(members[0]).is_held, shares(members)) == (None, False, [0.5])

    run(scenario, replicas=1)


def test_a_shadow_gets_its_copies_beside_the_comparison() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await begin(members, OPPOSITE)
        await members[0].shadows.begin(ShadowRequest(version="7"))

        await request_and_poll(members[0])

        await until(lambda: figures(members[0])[0] > 0)
        assert state(members[0]).is_held

    run(scenario, replicas=1)


def test_numbers_have_no_classes_to_compare() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        with pytest.raises(
            RolloutError, match="max_disagreement compares classes, and 'm' predicts numbers"
        ) as refusal:
            await members[0].rollouts.begin("2", POLICY)

        assert "--max-disagreement" in refusal.value.next_step
        assert (registry.challenger, registry.rollout) == (None, "")

    run(scenario, replicas=1)
