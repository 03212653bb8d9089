from dataclasses import replace

import numpy as np
import pytest

from app.errors import ModelRefusedError, RegistryUnavailableError, RolloutError
from app.models.predictor import Predictor
from app.serving.schemas import LoadRequest
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import MODEL, PREDICTOR, FakeRegistry
from tests.support.rollouts import QUICK, run, send, shares, state, verdict
from tests.support.shadows import OTHER_COLUMNS


def test_a_rollout_begins_when_every_replica_holds_both_versions() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)

        assert shares(members) == [0.1, 0.1]
        assert (registry.alias, registry.challenger) == ("1", "2")
        assert [member.replica.served_version for member in members] == ["1", "1"]

    run(scenario)


def test_a_version_that_one_replica_refuses_takes_no_traffic() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        members[1].loader.refused.add("2")

        with pytest.raises(ModelRefusedError, match="cannot serve m version 2"):
            await members[0].rollouts.begin("2", QUICK)

        assert shares(members) == [0, 0]
        assert (registry.alias, registry.challenger, verdict(members[1])) == ("1", None, "refused")

    run(scenario)


@pytest.mark.parametrize(
    ("predictor", "reason"),
    [
        (OTHER_COLUMNS, "its columns differ from those of the champion: a, b"),
        (replace(PREDICTOR, labels=np.array(["x", "y"]), gives_probabilities=True), "its classes are"),
        (replace(PREDICTOR, answers=("predictions", "std")), "it answers predictions, std, the champion predictions"),
    ],
)
def test_a_version_with_other_columns_classes_or_answers_takes_no_traffic(predictor: Predictor, reason: str) -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        for member in members:
            member.loader.predictors["2"] = predictor

        with pytest.raises(ModelRefusedError, match=f"Version 2 cannot share the traffic: {reason}"):
            await members[0].rollouts.begin("2", QUICK)

        assert shares(members) == [0, 0]
        assert (registry.alias, registry.challenger, verdict(members[1])) == ("1", None, "refused")

    run(scenario)


def test_a_good_version_takes_all_traffic_and_the_old_one_stays_in_memory() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)

        send(members, 2000)
        await members[1].rollouts.poll()
        half = shares(members)
        send(members, 2000)
        await members[0].rollouts.poll()

        assert half == [0.5, 0.5]
        assert (registry.alias, registry.challenger, registry.previous) == ("2", None, "1")
        assert [member.replica.served_version for member in members] == ["2", "2"]
        assert registry.version_tags["2"]["rollout.verdict"] == "promoted"
        loads = [list(member.loader.prepared) for member in members]
        await members[0].fleet.load(LoadRequest(version="1"))
        assert [member.loader.prepared for member in members] == loads
        assert [member.replica.served_version for member in members] == ["1", "1"]

    run(scenario)


def test_the_old_version_leaves_the_memory_of_the_rollout_once_it_serves_again() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        await members[0].fleet.load(LoadRequest(version="2"))
        await members[0].rollouts.poll()
        await members[0].fleet.load(LoadRequest(version="1"))
        await members[0].rollouts.poll()
        before = [len(member.loader.prepared) for member in members]

        await members[0].fleet.load(LoadRequest(version="2"))
        await members[0].fleet.load(LoadRequest(version="1"))

        assert [len(member.loader.prepared) - count for member, count in zip(members, before, strict=True)] == [2, 2]

    run(scenario)


def test_the_champion_keeps_the_rest_of_the_last_step_for_the_time_of_the_bake() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK.model_copy(update={"bake_seconds": 3600.0}))
        for _step in range(3):
            send(members, 2000)
            await members[0].rollouts.poll()
        baking = shares(members)
        known = members[0].rollouts.state
        assert known is not None
        began_earlier = known.model_copy(update={"step_began_s": known.step_began_s - 3600})
        await members[0].rollouts._store.write(began_earlier)
        await members[0].rollouts.poll()

        assert baking == [0.5, 0.5]
        assert verdict(members[0]) == "promoted"

    run(scenario)


def test_a_version_that_fails_more_often_goes_back_and_is_marked() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)

        send(members, 200, bad=1.0)
        await members[1].rollouts.poll()

        assert verdict(members[0]) == verdict(members[1]) == "rolled back"
        assert shares(members) == [0, 0]
        assert (registry.alias, registry.challenger) == ("1", None)
        tags = registry.version_tags["2"]
        assert (tags["rollout.verdict"], tags["is_rolled_back"]) == ("rolled back", "True")
        assert "errors" in tags["rollout.reason"]
        assert float(tags["rollout.e_mean"]) >= 20

    run(scenario)


def test_a_version_that_fails_as_often_as_the_champion_goes_on() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)

        send(members, 2000, bad=0.2, bad_champion=0.2)
        await members[0].rollouts.poll()

        assert shares(members) == [0.5, 0.5]

    run(scenario)


def test_the_alias_challenger_begins_a_rollout_and_another_replica_goes_on() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        registry.challenger = "2"
        await members[1].rollouts.poll()
        members[1].is_lost = True

        await members[0].rollouts.poll()

        assert shares(members[:1]) == [0.05]
        assert state(members[0]).version == "2"

    run(scenario)


def test_a_replica_that_starts_loads_the_challenger_and_no_step_begins_before() -> None:
    async def scenario(group: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        late = group.add(registry)
        await late.follower.load_now()
        send(members, 2000)

        await members[0].rollouts.poll()
        before = shares([*members, late])
        loading = late.rollouts.member._catching_up
        assert loading is not None
        await loading
        await members[0].rollouts.poll()

        assert before == [0.1, 0.1, 0]
        assert shares([*members, late]) == [0.5, 0.5, 0.5]

    run(scenario)


def test_a_held_rollout_ends_with_the_difference_and_the_champion_serves_on() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        policy = QUICK.model_copy(update={"steps": (50.0,), "hold": True})
        await members[0].rollouts.begin("2", policy)

        send(members, 400)
        await members[0].rollouts.poll()

        assert (verdict(members[0]), registry.alias) == ("held", "1")
        assert "errors: " in state(members[0]).reason

    run(scenario)


def test_promote_and_abort_end_a_rollout_at_once() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        await members[1].rollouts.abort()
        aborted = (verdict(members[0]), registry.alias, registry.challenger)
        await members[0].rollouts.begin("2", QUICK)
        await members[1].rollouts.promote()

        assert aborted == ("aborted", "1", None)
        assert (verdict(members[0]), registry.alias, registry.challenger) == ("promoted", "2", None)

    run(scenario)


def test_what_cannot_begin_or_end_says_why() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        rollouts = members[0].rollouts
        with pytest.raises(RolloutError, match="champion already"):
            await rollouts.begin("1", QUICK)
        with pytest.raises(RolloutError, match="No rollout is running"):
            await rollouts.abort()
        await rollouts.begin("2", QUICK)
        with pytest.raises(RolloutError, match="The rollout of version 2 is running"):
            await members[1].rollouts.begin("3", QUICK)
        registry.is_down = True
        with pytest.raises(RegistryUnavailableError):
            await rollouts.abort()

    run(scenario)


def test_requests_by_name_take_part_and_requests_that_name_a_version_do_not() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        catalog = members[0].catalog
        sources = [catalog.source(), catalog.source(MODEL), catalog.source(MODEL, "1")]

        for source in sources:
            await source.require()

        assert [source.split is None for source in sources] == [False, False, True]

    run(scenario)
