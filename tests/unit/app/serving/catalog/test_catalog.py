"""The models beside the default model: their first request, their champions, and what is refused."""

import asyncio

import pytest

from app.errors import (
    ModelLoadingError,
    ModelNotFoundError,
    ModelRefusedError,
    NoModelError,
)
from app.serving.catalog import models
from app.serving.schemas import LoadRequest
from tests.support.catalog import CHAMPIONS, run, version_of, versions
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import MODEL, MODEL_BYTES, FakeRegistry


def test_many_first_requests_load_a_model_once() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        member.loader.prepared.clear()

        answers = await asyncio.gather(*(version_of(member, "a") for _ in range(20)))

        assert answers == ["1"] * 20
        assert member.loader.prepared == ["1"]
        [held] = member.catalog.held_models()
        assert (held.requests, held.version, held.size_bytes) == (20, "1", MODEL_BYTES)

    run(scenario)


def test_a_first_request_gets_503_if_the_load_takes_too_long_and_the_load_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "FIRST_REQUEST_TIMEOUT_S", 0.01)

    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        member.loader.gate = asyncio.Event()

        with pytest.raises(ModelLoadingError, match="'a' is being loaded"):
            await version_of(member, "a")

        member.loader.gate.set()
        await until(lambda: versions(members, "a") == ["1"])
        assert member.loader.prepared.count("1") == 2

    run(scenario)


def test_a_refused_model_harms_no_other_and_is_not_tried_for_each_request() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        [member] = members
        registry.champions["b"] = "7"
        member.loader.refused.add("7")

        for _request in range(3):
            with pytest.raises(ModelRefusedError, match="damaged"):
                await version_of(member, "b")

        assert member.loader.prepared.count("7") == 1
        assert await version_of(member, "a") == "1"
        assert "version 7" in str(next(one.refused for one in member.catalog.held_models() if one.name == "b"))

    run(scenario)


def test_a_new_champion_is_loaded_where_the_model_is_held_and_nowhere_else() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await version_of(members[1], "a")
        registry.champions["a"] = "2"

        await members[0].catalog_follower.poll()

        await until(lambda: versions(members, "a") == [None, "2", None])
        assert "2" not in members[0].loader.prepared
        assert await version_of(members[2], "a") == "2"

    run(scenario, replicas=3)


def test_a_new_champion_that_one_holder_refuses_changes_no_holder() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        for member in members:
            await version_of(member, "a")
        members[1].loader.refused.add("2")
        registry.champions["a"] = "2"

        await members[0].catalog_follower.poll()

        await until(lambda: all(member.catalog.model("a").refused for member in members))
        assert versions(members, "a") == ["1", "1"]

    run(scenario, replicas=2)


def test_a_load_by_name_warms_the_model_on_every_replica_and_moves_its_champion() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        version, replicas = await members[0].catalog_follower.load("a", LoadRequest(version="3"))

        assert (version.name, str(version.version), len(replicas)) == ("a", "3", 2)
        assert versions(members, "a") == ["3", "3"]
        assert (registry.champions["a"], registry.alias) == ("3", "1")

    run(scenario, replicas=2)


def test_a_load_by_name_of_a_model_that_was_not_served_marks_the_model() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].catalog_follower.load("new", LoadRequest(version="1"))

        assert registry.champions["new"] == "1"
        assert [await version_of(member, "new") for member in members] == ["1", "1"]

    run(scenario, replicas=2)


def test_a_model_that_is_withdrawn_is_dropped_on_every_replica() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        for member in members:
            await version_of(member, "a")

        await members[0].catalog_follower.withdraw("a")

        assert "a" not in registry.champions
        assert [member.catalog.budget.held_bytes for member in members] == [0, 0]
        with pytest.raises(ModelNotFoundError, match="does not serve the model 'a'"):
            members[1].catalog.source("a")

    run(scenario, replicas=2)


@pytest.mark.parametrize(
    ("name", "listed", "error"),
    [(MODEL, (), "is the default model"), ("other", (), "does not serve"), ("a", ("a",), "The stack lists")],
)
def test_a_model_that_cannot_be_withdrawn_stays(name: str, listed: tuple[str, ...], error: str) -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        with pytest.raises((ModelRefusedError, ModelNotFoundError), match=error):
            await members[0].catalog_follower.withdraw(name)

        assert registry.champions == CHAMPIONS

    run(scenario, listed=listed)


def test_a_service_whose_models_are_listed_serves_and_loads_no_other() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        [member] = members

        assert await version_of(member, "a") == "1"
        with pytest.raises(ModelNotFoundError):
            member.catalog.source("b")
        with pytest.raises(ModelRefusedError, match="The stack lists the models"):
            await member.catalog_follower.load("b", LoadRequest(version="1"))
        assert registry.champions == CHAMPIONS

    run(scenario, listed=("a",))


def test_a_version_by_number_answers_without_touching_the_champion() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        [member] = members

        assert [await version_of(member, "a", number) for number in ("5", "1", "5")] == ["5", "1", "5"]
        assert await version_of(member, MODEL, "9") == "9"

        assert (registry.champions["a"], member.replica.served_version) == ("1", "1")
        assert member.loader.prepared.count("5") == 1

    run(scenario)


@pytest.mark.parametrize("version", ["0", "-1", "x", "1.0", "9" * 20, "../1"])
def test_a_text_that_is_no_version_is_not_found(version: str) -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        with pytest.raises(ModelNotFoundError, match="There is no version"):
            members[0].catalog.source("a", version)

    run(scenario)


def test_a_model_without_a_champion_says_how_to_give_it_one() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        with pytest.raises(NoModelError, match="'none' has no champion"):
            await version_of(members[0], "none")

    run(scenario)


def test_one_replica_reads_all_models_and_a_new_replica_learns_them_while_mlflow_is_away() -> None:
    async def scenario(group: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        assert registry.reads == 1
        await version_of(members[0], "a")
        registry.is_down = True
        group.add(registry)

        await members[0].catalog_follower.poll()

        new = group.members[-1]
        assert "MLflow does not answer" in new.catalog.trouble
        assert await version_of(new, "a") == "1"

    run(scenario, replicas=2)


def test_before_mlflow_has_answered_a_model_by_name_gets_503() -> None:
    async def scenario(group: FakeReplicaGroup, registry: FakeRegistry, _: list[Member]) -> None:
        new = group.add(registry)

        with pytest.raises(ModelLoadingError, match="not known yet"):
            new.catalog.source("a")

    run(scenario)
