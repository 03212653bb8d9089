"""What replicas settle among themselves, on one event loop; `tests/integration/fleet` has it with real processes."""

import asyncio
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import LoadInProgressError, ModelRefusedError, RegistryUnavailableError
from app.serving.fleet.replica import Ticket
from app.serving.schemas import LoadRequest, ReplicaInfo
from tests.support.fake_fleet import FakePeers, FakeRegistry, Member


async def fleet_of(count: int, *, serving: str = "1") -> tuple[FakePeers, FakeRegistry, list[Member]]:
    peers, registry = FakePeers(), FakeRegistry()
    members = [peers.add(registry) for _ in range(count)]
    await members[0].fleet.load(LoadRequest(version=serving))
    return peers, registry, members


async def try_load(member: Member, version: str) -> list[ReplicaInfo] | LoadInProgressError:
    try:
        return (await member.fleet.load(LoadRequest(version=version)))[1]
    except LoadInProgressError as error:
        return error


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=5, unique=True), st.permutations(range(5)))
def test_of_loads_on_different_replicas_at_once_exactly_one_wins(at: list[int], order: list[int]) -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(5)
        peers.members = [members[index] for index in order]

        answers = await asyncio.gather(*(try_load(members[index], str(index + 2)) for index in at))

        [won] = [index for index, answer in zip(at, answers, strict=True) if isinstance(answer, list)]
        assert peers.versions() == [str(won + 2)] * 5
        assert registry.alias == str(won + 2)
        assert {str(answer) for answer in answers if not isinstance(answer, list)} == {
            f"m version {won + 2} is being loaded. Wait until it answers, then ask again."
        }

    asyncio.run(scenario())


def test_claims_of_a_replica_that_is_gone_bind_nobody() -> None:
    async def scenario() -> None:
        peers, _, members = await fleet_of(3)
        await peers.ask("claim", Ticket(load_id="gone", label="m version 7"), kind=object, timeout_s=1)

        await members[2].fleet.load(LoadRequest(version="2"))

        assert peers.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_nothing_changes_when_the_alias_cannot_be_moved() -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(3)

        failure = RegistryUnavailableError("MLflow does not answer.")
        with (
            mock.patch.object(registry, "promote", side_effect=failure),
            pytest.raises(RegistryUnavailableError),
        ):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert peers.versions() == ["1"] * 3
        await members[1].fleet.load(LoadRequest(version="3"))
        assert peers.versions() == ["3"] * 3

    asyncio.run(scenario())


def test_the_first_look_at_a_moved_alias_moves_the_whole_fleet() -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(4)
        registry.alias = "5"

        await members[3].follower.poll()

        assert peers.versions() == ["5"] * 4

    asyncio.run(scenario())


def test_a_refused_champion_is_not_tried_again_at_every_look() -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(2)
        registry.alias, registry.refused = "5", {"5"}
        await members[0].follower.poll()
        peers.asked.clear()

        await members[1].follower.poll()

        assert peers.asked == ["heard"]
        assert peers.versions() == ["1"] * 2
        assert "It is damaged" in str(members[1].replica.info.refused)

    asyncio.run(scenario())


def test_a_replica_that_was_left_behind_hears_of_it_and_catches_up() -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(2)
        members[1].is_lost = True
        await members[0].fleet.load(LoadRequest(version="2"))
        members[1].is_lost = False

        await members[0].follower.poll()
        for _ in range(500):
            if peers.versions() == ["2", "2"]:
                break
            await asyncio.sleep(0.01)

        assert peers.versions() == ["2", "2"]
        assert registry.alias == "2"

    asyncio.run(scenario())


def test_a_replica_that_starts_waits_for_the_registry_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        peers, registry = FakePeers(), FakeRegistry()
        registry.alias, registry.is_down = "4", True
        member = peers.add(registry)
        monkeypatch.setattr("app.serving.fleet.alias_follower.POLL_S", (0.01, 0.01))

        start = asyncio.create_task(member.follower.start())
        done, _ = await asyncio.wait({start}, timeout=0.2)
        assert not done
        assert "MLflow does not answer" in member.follower.trouble
        registry.is_down = False
        await asyncio.wait_for(start, 10)
        await member.follower.stop()

        assert peers.versions() == ["4"]
        assert member.follower.trouble == ""

    asyncio.run(scenario())


def test_a_replica_that_starts_beside_a_refused_champion_serves_what_the_others_serve() -> None:
    async def scenario() -> None:
        peers, registry, _ = await fleet_of(2)
        registry.alias, registry.refused = "5", {"5"}

        newcomer = peers.add(registry)
        await newcomer.follower.start()
        await newcomer.follower.stop()

        assert peers.versions() == ["1"] * 3

    asyncio.run(scenario())


def test_the_first_request_of_a_replica_waits_until_it_serves_what_the_fleet_serves() -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(2)
        newcomer = peers.add(registry)
        newcomer.is_lost = True
        await newcomer.follower.start()
        await members[0].fleet.load(LoadRequest(version="2"))
        newcomer.is_lost = False

        await newcomer.follower.confirm()
        await newcomer.follower.stop()

        assert peers.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_a_load_waits_for_a_replica_that_begins_to_take_requests_in_the_middle_of_it() -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(2)
        newcomer = peers.add(registry)
        newcomer.is_lost = True

        def appear(_: object) -> None:
            newcomer.is_lost = False

        with mock.patch.object(registry, "promote", side_effect=appear):
            _, listed = await members[0].fleet.load(LoadRequest(version="2"))

        assert [replica.version for replica in listed] == ["2"] * 3

    asyncio.run(scenario())


def test_a_load_is_refused_whole_when_one_replica_cannot() -> None:
    async def scenario() -> None:
        peers, registry, members = await fleet_of(3)
        own = FakeRegistry()
        own.refused = {"2"}
        members[1].replica.registry = own

        with pytest.raises(ModelRefusedError, match=r"Replica r1 cannot serve m version 2: It is damaged\."):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert peers.versions() == ["1"] * 3
        assert registry.alias == "1"

    asyncio.run(scenario())
