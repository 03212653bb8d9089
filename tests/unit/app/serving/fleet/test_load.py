"""Loads of the fleet on one event loop. `tests/integration/serving/fleet` tests them with real processes."""

import asyncio
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import (
    AliasMovedError,
    LoadInProgressError,
    PlatformError,
)
from app.serving.fleet.protocol import FleetMember, LoadId
from app.serving.loading.served_model import PreparedFiles
from app.serving.schemas import LoadRequest, ReplicaInfo
from tests.support.fake_fleet import Member, fleet_of, until


async def try_load(member: Member, version: str) -> list[ReplicaInfo] | LoadInProgressError:
    try:
        return (await member.fleet.load(LoadRequest(version=version)))[1]
    except LoadInProgressError as error:
        return error


@settings(max_examples=40)
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


def test_the_other_replicas_get_the_files_that_the_first_has_prepared(tmp_path: Path) -> None:
    async def scenario() -> None:
        _, _, members = await fleet_of(3)
        files = PreparedFiles(folder=tmp_path / "files", digest="d")
        members[1].loader.files = files

        await members[1].fleet.load(LoadRequest(version="2"))

        assert [member.loader.locations[-1] for member in members] == [files.location, None, files.location]

    asyncio.run(scenario())


def test_a_claim_held_by_a_dead_replica_expires() -> None:
    async def scenario() -> None:
        group, _, members = await fleet_of(3)
        await group.broadcast(FleetMember.claim, 1, LoadId(uuid="dead", label="m version 7"))

        await members[2].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_a_load_waits_for_a_replica_that_starts_during_the_load() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        newcomer = group.add(registry)
        newcomer.is_hidden = True

        def start_newcomer(_: object) -> None:
            newcomer.is_hidden = False

        with mock.patch.object(registry, "promote", side_effect=start_newcomer):
            _, infos = await members[0].fleet.load(LoadRequest(version="2"))

        assert [info.version for info in infos] == ["2"] * 3

    asyncio.run(scenario())


def test_an_alias_that_is_moved_by_hand_during_a_load_wins() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        members[1].loader.gate = asyncio.Event()
        task = asyncio.create_task(members[0].fleet.load(LoadRequest(version="2")))
        await until(lambda: "2" in members[1].loader.prepared)

        registry.alias = "3"
        members[1].loader.gate.set()
        with pytest.raises(AliasMovedError, match="it names version 3 now"):
            await task
        await members[1].follower.poll()

        assert group.versions() == ["3"] * 2
        assert registry.alias == "3"

    asyncio.run(scenario())


def test_a_slow_catch_up_does_not_undo_a_newer_load() -> None:
    async def scenario() -> None:
        group, _, members = await fleet_of(3)
        members[2].is_hidden = True
        await members[0].fleet.load(LoadRequest(version="2"))
        members[2].is_hidden = False
        members[2].loader.gate = gate = asyncio.Event()
        await members[0].follower.poll()
        await until(lambda: members[2].loader.prepared[-1:] == ["2"])

        members[2].loader.gate = None
        await members[1].fleet.load(LoadRequest(version="3"))
        gate.set()
        await asyncio.sleep(0.05)

        assert group.versions() == ["3"] * 3

    asyncio.run(scenario())


def test_a_replica_that_stops_undoes_its_load() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(3)
        members[2].loader.gate = asyncio.Event()
        task = asyncio.create_task(members[0].fleet.load(LoadRequest(version="2")))
        await until(lambda: "2" in members[2].loader.prepared)

        members[0].is_hidden = True
        await members[0].follower.stop()

        with pytest.raises(PlatformError, match="The replica that ran the load of m version 2 stops"):
            await task
        assert members[0].loader.is_closed
        assert [member.replica.holder for member in members[1:]] == [None, None]
        assert group.versions() == ["1"] * 2
        assert registry.alias == "1"
        members[2].loader.gate = None
        await members[1].fleet.load(LoadRequest(version="3"))
        assert group.versions() == ["3"] * 2

    asyncio.run(scenario())


def test_a_load_on_a_replica_that_stops_does_not_promote_after_another_load_has_begun() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(3)
        members[0].loader.gate = asyncio.Event()
        old = asyncio.create_task(members[0].fleet.load(LoadRequest(version="2")))
        await until(lambda: "2" in members[0].loader.prepared)

        members[0].is_hidden = True
        members[2].loader.gate = asyncio.Event()
        new = asyncio.create_task(members[1].fleet.load(LoadRequest(version="3")))
        await until(lambda: "3" in members[2].loader.prepared)
        members[0].loader.gate.set()
        with pytest.raises(LoadInProgressError, match="m version 3 is being loaded"):
            await old
        members[2].loader.gate.set()
        await new

        assert registry.promoted == ["1", "3"]
        assert group.versions() == ["3"] * 2
        assert registry.alias == "3"

    asyncio.run(scenario())


def test_a_version_is_kept_on_the_node_after_its_swap() -> None:
    async def scenario() -> None:
        _, _, members = await fleet_of(2)
        await members[0].fleet.load(LoadRequest(version="2"))
        await until(lambda: all(m.loader.kept and m.loader.kept.version.version == "2" for m in members))

    asyncio.run(scenario())
