"""The models beside the default model while loads, readings of MLflow, requests and withdrawals overlap."""

import asyncio

import pytest

from app.errors import ModelRefusedError
from app.serving.fleet import alias_follower
from app.serving.fleet.protocol import CatalogReading, LoadId
from app.serving.schemas import LoadRequest
from tests.support.catalog import CHAMPIONS, run, version_of, versions
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import FakeRegistry

OLD_READING = CatalogReading(champions=CHAMPIONS, followed=frozenset(), trouble="", answer_s=0.0, generation=0)
"""What a replica read before the models of a test changed."""


def test_an_older_reading_does_not_end_a_model_that_was_loaded_by_name() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].catalog_follower.load("new", LoadRequest(version="1"))

        for member in members:
            await member.on_catalog_read(OLD_READING)

        assert versions(members, "new") == ["1", "1"]
        assert [await version_of(member, "new") for member in members] == ["1", "1"]

    run(scenario, replicas=2)


def test_an_older_reading_does_not_bring_a_withdrawn_model_back() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].catalog_follower.withdraw("a")

        for member in members:
            await member.on_catalog_read(OLD_READING)

        assert ["a" in (member.catalog.champions or {}) for member in members] == [False, False]

    run(scenario, replicas=2)


def test_a_replica_that_missed_a_change_learns_it_with_the_next_reading() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        members[1].is_hidden = True
        await members[0].catalog_follower.withdraw("a")
        members[1].is_hidden = False

        await members[1].catalog_follower.poll()
        await members[0].catalog_follower.poll()

        assert ["a" in (member.catalog.champions or {}) for member in members] == [False, False]
        assert len({member.catalog.generation for member in members}) == 1

    run(scenario, replicas=2)


def test_a_change_by_a_replica_that_has_just_started_reaches_all_replicas_at_once() -> None:
    async def scenario(group: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        for name in ("b", "c"):
            await members[0].catalog_follower.withdraw(name)
        new = group.add(registry)
        await new.catalog_follower.poll()

        await new.catalog_follower.withdraw("a")

        assert ["a" in (member.catalog.champions or {}) for member in (*members, new)] == [False, False]

    run(scenario)


def test_a_reading_before_a_loaded_model_has_its_tag_leaves_the_model_in_memory() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].catalog.load("new", LoadRequest(version="1"))

        for member in members:
            await member.on_catalog_read(OLD_READING)

        assert versions(members, "new") == ["1", "1"]

    run(scenario, replicas=2)


def test_a_load_that_fails_leaves_nothing_of_a_model_that_was_not_served() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        members[1].loader.refused.add("7")

        with pytest.raises(ModelRefusedError):
            await members[0].catalog_follower.load("new", LoadRequest(version="7"))

        await members[0].catalog_follower.poll()
        assert "new" not in registry.champions
        assert versions(members, "new") == [None, None]
        assert [member.catalog.budget.held_bytes for member in members] == [0, 0]

    run(scenario, replicas=2)


def test_a_reading_while_a_load_by_name_begins_does_not_part_the_load_from_its_model() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        members[0].loader.prepared.clear()
        load = asyncio.create_task(members[0].catalog.load("new", LoadRequest(version="1")))
        await asyncio.sleep(0)

        await members[0].on_catalog_read(OLD_READING)

        await load
        assert versions(members, "new") == ["1", "1"]
        assert members[0].loader.prepared == ["1"]

    run(scenario, replicas=2)


def test_a_claim_of_a_lost_replica_on_a_model_that_was_not_served_yet_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_follower, "EXPIRY_CHECK_S", 0)

    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        lost = LoadId(uuid="lost", label="new version 1")
        await members[0].on_model("new", "claim", (lost,))

        await members[0].catalog_follower.poll()

        assert members[0].catalog.held_by_loads() == []

    run(scenario, replicas=2)


def test_a_model_that_is_withdrawn_during_its_first_load_leaves_the_memory_after_it() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        await version_of(member, "a", "5")
        member.loader.gate = asyncio.Event()
        request = asyncio.create_task(version_of(member, "a"))
        await until(lambda: len(member.loader.prepared) == 3)
        del registry.champions["a"]
        await member.catalog_follower.poll()

        member.loader.gate.set()
        answer = await request
        await member.catalog_follower.poll()

        assert answer == "1"
        assert member.catalog.budget.held_bytes == 0

    run(scenario)


def test_a_request_whose_body_arrives_after_its_model_was_put_out_loads_it_where_it_can_be_put_out_again() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        source = member.catalog.source("a")
        tags = dict(registry.champions)
        del registry.champions["a"]
        await member.catalog_follower.poll()
        registry.champions = tags
        await member.catalog_follower.poll()

        await source.require()

        assert versions(members, "a") == ["1"]

    run(scenario)


def test_a_version_by_number_is_kept_from_its_load_on_and_not_from_its_request() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members

        for number in range(2, 1000):
            member.catalog.source("a", str(number))

        assert member.catalog._pinned == {}
        assert await version_of(member, "a", "5") == "5"

    run(scenario)
