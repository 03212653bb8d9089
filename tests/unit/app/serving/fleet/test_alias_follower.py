"""How replicas start and follow the alias, on one event loop."""

import asyncio
import dataclasses
import time

import pytest

from app.errors import ModelRefusedError, PlatformError
from app.serving.fleet import alias_follower
from app.serving.fleet.protocol import FleetMember, LoadId
from app.serving.schemas import LoadRequest
from tests.support.fake_fleet import FakeReplicaGroup, Member, fleet_of, until
from tests.support.fake_models import FakeRegistry, served_model


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_follower, "POLL_INTERVAL_S", (0.01, 0.01))
    monkeypatch.setattr(alias_follower, "EXPIRY_CHECK_S", 0.0)


async def start(member: Member) -> None:
    """Start a replica, and end its polling at once."""
    await member.follower.start()
    await member.follower.stop()


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


def test_the_pause_before_a_refused_version_is_tried_again_doubles() -> None:
    async def scenario() -> None:
        _, registry, [member] = await fleet_of(1)
        registry.alias, registry.refused = "5", {"5"}
        await member.follower.poll()
        for count, pause_s in enumerate([60, 120, 240, 480, 960, 1920, 3600, 3600], start=1):
            for age_s, expected in ((pause_s - 5, count), (pause_s + 1, count + 1)):
                assert member.replica.refusal is not None
                refused_at_s = time.monotonic() - age_s
                member.replica.refusal = dataclasses.replace(member.replica.refusal, refused_at_s=refused_at_s)
                await member.follower.poll()
                assert member.loader.prepared.count("5") == expected

    asyncio.run(scenario())


def test_a_replica_that_missed_a_load_catches_up_after_another_replica_polls() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        members[1].is_hidden = True
        await members[0].fleet.load(LoadRequest(version="2"))
        members[1].is_hidden = False

        await members[0].follower.poll()
        await until(lambda: group.versions() == ["2", "2"])

        assert registry.alias == "2"

    asyncio.run(scenario())


def test_a_starting_replica_without_a_copy_waits_for_the_registry_and_reports_why() -> None:
    async def scenario() -> None:
        group, registry = FakeReplicaGroup(), FakeRegistry()
        registry.alias, registry.is_down = "4", True
        member = group.add(registry)

        starting = asyncio.create_task(member.follower.start())
        done, _ = await asyncio.wait({starting}, timeout=0.2)
        assert not done
        assert "MLflow does not answer" in member.follower.trouble
        registry.is_down = False
        await asyncio.wait_for(starting, 10)
        await member.follower.stop()

        assert group.versions() == ["4"]
        assert member.follower.trouble == ""

    asyncio.run(scenario())


def test_a_starting_replica_serves_the_version_of_the_others_if_they_refused_the_champion() -> None:
    async def scenario() -> None:
        group, registry, _ = await fleet_of(2)
        registry.alias, registry.refused = "5", {"5"}

        await start(group.add(registry))

        assert group.versions() == ["1"] * 3

    asyncio.run(scenario())


def test_a_starting_replica_takes_the_copy_of_another_while_mlflow_is_away() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        await members[0].fleet.load(LoadRequest(version="2"))
        registry.is_down = True

        newcomer = group.add(registry)
        await start(newcomer)

        assert group.versions() == ["2"] * 3
        assert newcomer.replica.generation == members[0].replica.generation
        assert "MLflow does not answer" in newcomer.follower.trouble

    asyncio.run(scenario())


def test_a_replica_that_starts_alone_takes_the_copy_of_its_node_while_mlflow_is_away() -> None:
    async def scenario() -> None:
        group, registry = FakeReplicaGroup(), FakeRegistry()
        registry.alias, registry.is_down = "2", True
        member = group.add(registry)
        member.loader.kept = served_model("1")
        await start(member)
        assert group.versions() == ["1"]

        registry.is_down = False
        await member.follower.poll()

        assert group.versions() == ["2"]

    asyncio.run(scenario())


def test_a_replica_takes_the_copy_of_its_node_if_the_champion_is_refused_and_tries_it_again_later() -> None:
    async def scenario() -> None:
        group, registry = FakeReplicaGroup(), FakeRegistry()
        registry.alias, registry.refused = "2", {"2"}
        member = group.add(registry)
        member.loader.kept = served_model("1")
        await start(member)
        await member.follower.poll()

        assert group.versions() == ["1"]
        assert member.replica.info.refused == "version 2: It is damaged."
        assert member.loader.prepared == ["2"]

    asyncio.run(scenario())


def test_the_copy_of_the_node_is_not_served_if_the_fleet_serves_another_version() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(1)
        members[0].is_full = True
        newcomer = group.add(registry)
        newcomer.loader.kept = served_model("7")
        newcomer.loader.error = ModelRefusedError("The disk is full.")

        starting = asyncio.create_task(newcomer.follower.start())
        await until(lambda: newcomer.replica.served_version is not None)
        await starting
        await newcomer.follower.stop()

        assert newcomer.replica.served_version == "1"

    asyncio.run(scenario())


def test_a_defect_at_the_start_does_not_end_the_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        group, registry = FakeReplicaGroup(), FakeRegistry()
        registry.alias = "1"
        member = group.add(registry)
        with monkeypatch.context() as patch:
            patch.setattr(FakeRegistry, "find", lambda *_, **__: 1 / 0)
            starting = asyncio.create_task(member.follower.start())
            await until(lambda: "ZeroDivisionError" in member.follower.trouble)
            assert not starting.done()
        await starting
        await member.follower.stop()

        assert group.versions() == ["1"]

    asyncio.run(scenario())


def test_the_first_request_to_a_replica_waits_until_it_serves_the_version_of_the_fleet() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        newcomer = group.add(registry)
        newcomer.is_hidden = True
        await start(newcomer)
        await members[0].fleet.load(LoadRequest(version="2"))
        newcomer.is_hidden = False

        await newcomer.follower.check_before_first_request()

        assert group.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_a_dead_load_leaves_no_prepared_model_after_the_next_poll() -> None:
    async def scenario() -> None:
        group, _, members = await fleet_of(3)
        members[2].loader.gate = asyncio.Event()
        task = asyncio.create_task(members[0].fleet.load(LoadRequest(version="2")))
        await until(lambda: "2" in members[2].loader.prepared)
        members[0].is_lost = True
        members[2].loader.gate.set()
        await asyncio.wait({task})
        assert [member.replica.holder is None for member in members[1:]] == [False, False]

        await members[1].follower.poll()

        assert [member.replica.holder for member in members[1:]] == [None, None]
        assert group.versions() == ["1"] * 2

    asyncio.run(scenario())


def test_a_poll_does_not_end_a_load_that_runs() -> None:
    async def scenario() -> None:
        group, _, members = await fleet_of(3)
        members[2].loader.gate = asyncio.Event()
        task = asyncio.create_task(members[0].fleet.load(LoadRequest(version="2")))
        await until(lambda: "2" in members[2].loader.prepared)

        await members[1].follower.poll()
        members[2].loader.gate.set()
        await task

        assert group.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_a_poll_survives_that_serve_cannot_list_the_replicas() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        await group.broadcast(FleetMember.claim, 1, LoadId(uuid="dead", label="m version 7"))
        group.is_away, registry.alias = True, "2"

        await members[0].follower.poll()
        assert [info.version for info in await members[0].fleet.report()] == ["1"]
        with pytest.raises(PlatformError):
            await members[0].fleet.load(LoadRequest(version="3"))
        group.is_away = False
        await members[0].follower.poll()

        assert group.versions() == ["2"] * 2

    asyncio.run(scenario())
