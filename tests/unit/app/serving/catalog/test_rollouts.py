"""Rollouts of the models beside the default model."""

import numpy as np
import pytest

from app.errors import ModelRefusedError, OverloadedError, RolloutError
from app.models.answers import Answers
from app.serving.catalog.champion_model import ChampionModel
from app.serving.fleet.protocol import FleetMember
from app.serving.rollout.recent_answers import TrueLabel
from app.serving.rollout.rollouts import Rollouts
from tests.support.catalog import run, version_of, versions
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import FakeRegistry
from tests.support.rollouts import QUICK
from tests.support.shadows import client_of


def model(member: Member, name: str = "a") -> ChampionModel:
    return member.catalog.model(name)


def rollouts(member: Member, name: str = "a") -> Rollouts:
    return model(member, name).rollouts


def shares(members: list[Member], name: str = "a") -> list[float]:
    """The share of the challenger on each replica; 0 without a split."""
    splits = [model(member, name).split for member in members]
    return [split.state.policy.share(split.state.step) if split else 0.0 for split in splits]


def send(members: list[Member], requests: int, *, is_bad: bool = False) -> None:
    """Count requests of one row on all replicas, evenly."""
    for index in range(requests):
        split = model(members[index % len(members)]).split
        assert split is not None
        assignment = split.assign({})
        if is_bad and assignment.side:
            split.add_error(assignment, rows=1)
        else:
            split.add_answer(assignment, rows=1, seconds=0.001)


async def begin(members: list[Member]) -> None:
    """Begin the rollout of version 2 of the model `a`, and let every replica hold both versions."""
    await version_of(members[0], "a")
    await rollouts(members[0]).begin("2", QUICK)
    await rollouts(members[0]).poll()
    await until(lambda: all(member.catalog.model("a").served is not None for member in members))
    await rollouts(members[0]).poll()


def test_every_replica_loads_both_versions_and_shares_the_requests() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        assert shares(members) == [0.1, 0.1]
        assert versions(members, "a") == ["1", "1"]
        assert (registry.champions["a"], registry.named_rollout("a").challenger) == ("1", "2")
        assert (shares(members, "b"), members[0].catalog.default.split) == ([0, 0], None)

    run(scenario, replicas=2)


def test_a_request_by_name_takes_part_and_one_that_names_a_version_does_not() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await begin(members)
        catalog = members[0].catalog
        sources = [catalog.source("a"), catalog.source("a", "1"), catalog.source("b")]

        for source in sources:
            await source.require()

        assert [source.split is None for source in sources] == [False, True, True]

    run(scenario)


def test_a_good_version_becomes_the_champion_on_every_replica() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        send(members, 2000)
        await rollouts(members[1]).poll()
        send(members, 2000)
        await rollouts(members[0]).poll()

        stored = registry.named_rollout("a")
        assert versions(members, "a") == ["2", "2"]
        assert (registry.champions["a"], stored.challenger, stored.previous) == ("2", None, "1")
        assert registry.alias == "1"

    run(scenario, replicas=2)


def test_a_version_that_fails_goes_back() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        send(members, 300, is_bad=True)
        await rollouts(members[1]).poll()

        assert shares(members) == [0, 0]
        assert registry.version_tags["2"]["rollout.verdict"] == "rolled back"
        assert versions(members, "a") == ["1", "1"]

    run(scenario, replicas=2)


def test_labels_count_in_the_rollout_of_a_model_by_its_name() -> None:
    async def scenario(group: FakeReplicaGroup, _: FakeRegistry, members: list[Member]) -> None:
        await begin(members)
        split = model(members[1]).split
        assert split is not None
        split._has_classes = True  # the models of the fake fleet are regressors
        split.remember(split.assign({}), {"x-request-id": "a"}, Answers(predictions=np.array(["yes"])))

        counted = await group.broadcast(FleetMember.on_labels, 10, [TrueLabel("a", 0, "no")])

        assert counted == [0, 1]

    run(scenario, replicas=2)


def test_the_share_of_a_model_stays_while_mlflow_is_away_and_its_status_says_why() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)
        registry.is_down = True

        await members[0].catalog_follower.poll()
        async with client_of(members[0]) as client:
            status = (await client.get("/models/a/rollout")).json()

        assert (shares(members), status["share"]) == ([0.1], 10)
        assert "MLflow does not answer" in status["trouble"]

    run(scenario)


def test_the_alias_challenger_begins_a_rollout_at_the_next_reading() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        registry.named_rollout("a").challenger = "2"

        await members[0].catalog_follower.poll()
        await until(lambda: shares(members) == [0.05])

        assert rollouts(members[0]).state is not None

    run(scenario)


def test_a_challenger_without_a_champion_waits() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        registry.named_rollout("none").challenger = "2"

        await members[0].catalog_follower.poll()
        await until(lambda: rollouts(members[0], "none").trouble != "")

        assert "has no champion" in rollouts(members[0], "none").trouble
        assert rollouts(members[0], "none").state is None

    run(scenario)


def test_a_model_in_a_rollout_stays_in_memory() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        await version_of(members[0], "b")
        await version_of(members[0], "c")

        assert shares(members) == [0.1]
        assert versions(members, "b") == [None]

    run(scenario, room=3)


def test_a_version_without_room_beside_the_champion_is_refused() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await version_of(members[0], "a")
        model(members[0])._commands += 1  # the champion is in use, so it is not put out for the challenger

        with pytest.raises(OverloadedError, match="other models of this replica are in use"):
            await rollouts(members[0]).begin("2", QUICK)

        assert registry.named_rollout("a").challenger is None
        assert versions(members, "a") == ["1"]

    run(scenario, room=1)


def test_a_replica_that_has_missed_the_end_forgets_the_rollout() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await begin(members)
        members[1].is_hidden = True
        await rollouts(members[0]).abort()
        members[1].is_hidden = False
        missed = shares(members)

        await members[0].catalog_follower.poll()
        await members[0].catalog_follower.poll()

        assert missed == [0, 0.1]
        assert shares(members) == [0, 0]
        assert not model(members[1]).is_busy
        assert rollouts(members[1]).member.challenger.replica.served is None

    run(scenario, replicas=2)


def test_a_model_that_is_not_served_any_more_ends_its_rollout() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        await members[0].catalog_follower.withdraw("a")

        assert versions(members, "a") == [None, None]
        assert registry.version_tags["2"]["rollout.verdict"] == "aborted"

    run(scenario, replicas=2)


def test_rollouts_of_two_models_run_at_the_same_time_and_two_of_one_do_not() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)
        await version_of(members[0], "b")
        await rollouts(members[0], "b").begin("3", QUICK)
        with pytest.raises(RolloutError, match="The rollout of version 2 is running"):
            await rollouts(members[0]).begin("3", QUICK)
        registry.refused.add("4")
        await version_of(members[0], "c")
        with pytest.raises(ModelRefusedError, match="cannot serve c version 4"):
            await rollouts(members[0], "c").begin("4", QUICK)

        assert [shares(members, name) for name in ("a", "b", "c")] == [[0.1], [0.1], [0]]

    run(scenario)
