"""The memory of the models beside the default model."""

import gc

import pytest

from app.errors import (
    ModelRefusedError,
    OverloadedError,
)
from app.serving.schemas import LoadRequest
from tests.support.catalog import run, version_of, versions
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import MODEL_BYTES, FakeRegistry


def test_the_model_that_was_used_least_recently_is_put_out_and_the_default_model_never() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        for name in ("a", "b", "a", "c"):
            await version_of(member, name)

        assert [versions(members, name) for name in "abc"] == [["1"], [None], ["1"]]
        assert member.catalog.budget.held_bytes == 2 * MODEL_BYTES
        assert member.replica.served_version == "1"

    run(scenario, room=2)


def test_the_memory_of_a_model_that_was_put_out_counts_until_its_requests_have_ended() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        in_use = await member.catalog.source("a").require()

        with pytest.raises(OverloadedError, match="other models of this replica are in use"):
            await version_of(member, "b")

        del in_use
        gc.collect()
        assert await version_of(member, "b") == "1"
        assert member.catalog.budget.held_bytes == MODEL_BYTES

    run(scenario, room=1)


def test_a_model_larger_than_the_memory_is_refused_with_both_figures_and_puts_out_nothing() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        await version_of(member, "a")
        member.loader.sizes["b"] = 3 * 2**20

        with pytest.raises(ModelRefusedError, match=r"b version 1 needs 3\.0 MiB of memory, but .* has 0\.0 MiB"):
            await version_of(member, "b")

        assert versions(members, "a") == ["1"]

    run(scenario)


def test_versions_by_number_are_put_out_like_models() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        for number in ("5", "6", "7"):
            await version_of(member, "a", number)

        assert member.catalog.budget.held_bytes == 2 * MODEL_BYTES
        assert sorted(str(one.version) for one in member.catalog.held_models() if one.is_pinned) == ["6", "7"]

    run(scenario, room=2)


def test_another_version_of_a_model_puts_out_other_models_rather_than_exceed_the_memory() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        for name in ("b", "a"):
            await version_of(member, name)

        await member.catalog_follower.load("a", LoadRequest(version="2"))

        assert [versions(members, name) for name in "ab"] == [["2"], [None]]

    run(scenario, room=2)


def test_another_version_of_a_model_is_loaded_even_if_both_versions_do_not_fit() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        await version_of(member, "a")

        await member.catalog_follower.load("a", LoadRequest(version="2"))

        assert versions(members, "a") == ["2"]
        assert member.catalog.budget.held_bytes == MODEL_BYTES

    run(scenario, room=1)
