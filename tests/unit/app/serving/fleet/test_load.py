"""The protocol between replicas on one event loop. `tests/integration/serving/fleet` tests it with real processes."""

import asyncio
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import LoadInProgressError, ModelRefusedError, RegistryUnavailableError
from app.serving.fleet.protocol import FleetMember, LoadId
from app.serving.schemas import LoadRequest, ReplicaInfo
from tests.support.fake_fleet import FakeRegistry, FakeReplicaGroup, Member


async def fleet_of(count: int, *, serving: str = "1") -> tuple[FakeReplicaGroup, FakeRegistry, list[Member]]:
    group, registry = FakeReplicaGroup(), FakeRegistry()
    members = [group.add(registry) for _ in range(count)]
    await members[0].fleet.load(LoadRequest(version=serving))
    return group, registry, members


async def try_load(member: Member, version: str) -> list[ReplicaInfo] | LoadInProgressError:
    try:
        return (await member.fleet.load(LoadRequest(version=version)))[1]
    except LoadInProgressError as error:
        return error


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=5, unique=True), st.permutations(range(5)))
def test_exactly_one_of_several_concurrent_loads_wins(indices: list[int], order: list[int]) -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(5)
        group.members = [members[index] for index in order]

        results = await asyncio.gather(*(try_load(members[index], str(index + 2)) for index in indices))

        [winner] = [index for index, result in zip(indices, results, strict=True) if isinstance(result, list)]
        assert group.versions() == [str(winner + 2)] * 5
        assert registry.alias == str(winner + 2)
        assert {str(result) for result in results if not isinstance(result, list)} == {
            f"m version {winner + 2} is being loaded. Wait until that load has ended, then send the request again."
        }

    asyncio.run(scenario())


def test_a_claim_held_by_a_dead_replica_expires() -> None:
    async def scenario() -> None:
        group, _, members = await fleet_of(3)
        await group.broadcast(FleetMember.claim, 1, LoadId(uuid="dead", label="m version 7"))

        await members[2].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_no_replica_changes_when_the_alias_cannot_be_moved() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(3)

        failure = RegistryUnavailableError("MLflow does not answer.")
        with (
            mock.patch.object(registry, "promote", side_effect=failure),
            pytest.raises(RegistryUnavailableError),
        ):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["1"] * 3
        await members[1].fleet.load(LoadRequest(version="3"))
        assert group.versions() == ["3"] * 3

    asyncio.run(scenario())


def test_the_first_poll_after_the_alias_moved_moves_the_whole_fleet() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(4)
        registry.alias = "5"

        await members[3].follower.poll()

        assert group.versions() == ["5"] * 4

    asyncio.run(scenario())


def test_a_refused_champion_is_not_tried_again_at_the_next_poll() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        registry.alias, registry.refused = "5", {"5"}
        await members[0].follower.poll()
        group.calls.clear()

        await members[1].follower.poll()

        assert group.calls == ["on_alias_seen"]
        assert group.versions() == ["1"] * 2
        assert "It is damaged" in str(members[1].replica.info.refused)

    asyncio.run(scenario())


def test_a_replica_that_missed_a_load_catches_up_after_another_replica_polls() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        members[1].is_lost = True
        await members[0].fleet.load(LoadRequest(version="2"))
        members[1].is_lost = False

        await members[0].follower.poll()
        for _ in range(500):
            if group.versions() == ["2", "2"]:
                break
            await asyncio.sleep(0.01)

        assert group.versions() == ["2", "2"]
        assert registry.alias == "2"

    asyncio.run(scenario())


def test_a_starting_replica_waits_for_the_registry_and_reports_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        group, registry = FakeReplicaGroup(), FakeRegistry()
        registry.alias, registry.is_down = "4", True
        member = group.add(registry)
        monkeypatch.setattr("app.serving.fleet.alias_follower.POLL_INTERVAL_S", (0.01, 0.01))

        start = asyncio.create_task(member.follower.start())
        done, _ = await asyncio.wait({start}, timeout=0.2)
        assert not done
        assert "MLflow does not answer" in member.follower.trouble
        registry.is_down = False
        await asyncio.wait_for(start, 10)
        await member.follower.stop()

        assert group.versions() == ["4"]
        assert member.follower.trouble == ""

    asyncio.run(scenario())


def test_a_starting_replica_serves_the_version_of_the_others_if_they_refused_the_champion() -> None:
    async def scenario() -> None:
        group, registry, _ = await fleet_of(2)
        registry.alias, registry.refused = "5", {"5"}

        newcomer = group.add(registry)
        await newcomer.follower.start()
        await newcomer.follower.stop()

        assert group.versions() == ["1"] * 3

    asyncio.run(scenario())


def test_the_first_request_to_a_replica_waits_until_it_serves_the_version_of_the_fleet() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        newcomer = group.add(registry)
        newcomer.is_lost = True
        await newcomer.follower.start()
        await members[0].fleet.load(LoadRequest(version="2"))
        newcomer.is_lost = False

        await newcomer.follower.check_before_first_request()
        await newcomer.follower.stop()

        assert group.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_a_load_waits_for_a_replica_that_starts_during_the_load() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        newcomer = group.add(registry)
        newcomer.is_lost = True

        def start_newcomer(_: object) -> None:
            newcomer.is_lost = False

        with mock.patch.object(registry, "promote", side_effect=start_newcomer):
            _, infos = await members[0].fleet.load(LoadRequest(version="2"))

        assert [info.version for info in infos] == ["2"] * 3

    asyncio.run(scenario())


def test_no_replica_changes_when_one_replica_refuses() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(3)
        refusing_registry = FakeRegistry()
        refusing_registry.refused = {"2"}
        members[1].replica.registry = refusing_registry

        with pytest.raises(ModelRefusedError, match=r"Replica r1 cannot serve m version 2: It is damaged\."):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["1"] * 3
        assert registry.alias == "1"

    asyncio.run(scenario())
