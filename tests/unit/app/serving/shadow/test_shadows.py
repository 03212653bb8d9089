import asyncio
import gc

import pytest

from app.errors import MantaError, ModelRefusedError, RegistryUnavailableError, RolloutError
from app.serving.loading.served_model import ServedModel
from app.serving.schemas import LoadRequest
from app.serving.shadow.messages import ShadowRequest
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import FakeRegistry
from tests.support.rollouts import run
from tests.support.shadows import (
    DOUBLE,
    OTHER_COLUMNS,
    client_of,
    figures_of,
    held,
    poll,
    predict,
)

TWO = ShadowRequest(version="2")


def test_a_shadow_begins_when_every_replica_holds_it() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(ShadowRequest(version="2", share=20))

        assert held(members) == [True, True]
        assert registry.shadow == "2"
        assert [member.catalog.source().shadow.share for member in members] == [0.2, 0.2]  # type: ignore[union-attr]

    run(scenario)


def test_a_version_that_a_replica_refuses_is_no_shadow() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        members[1].loader.refused.add("2")

        with pytest.raises(ModelRefusedError, match="Replica r1 cannot hold the shadow"):
            await members[0].shadows.begin(TWO)

        assert held(members) == [False, False]
        assert registry.shadow is None

    run(scenario)


def test_a_version_with_other_columns_is_no_shadow() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        for member in members:
            member.loader.predictors["2"] = OTHER_COLUMNS

        with pytest.raises(ModelRefusedError, match="its columns differ from those of the champion: a, b"):
            await members[0].shadows.begin(TWO)

    run(scenario)


def test_a_version_with_other_columns_leaves_the_memory() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        members[0].loader.predictors["77"] = OTHER_COLUMNS
        registry.shadow = "77"  # shadows of other tests may still be in memory
        await poll(members[0])
        await until(lambda: members[0].shadows.member.report().error is not None)

        gc.collect()
        in_memory = {model.key[1] for model in gc.get_objects() if type(model) is ServedModel}

        assert "its columns differ" in str(members[0].shadows.member.report().error)
        assert "1" in in_memory
        assert "77" not in in_memory

    run(scenario, replicas=1)


@pytest.mark.parametrize(
    ("version", "message"), [("1", "champion already"), ("3", "Version 2 is the shadow"), ("2", "")]
)
def test_what_cannot_begin_says_why(version: str, message: str) -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(TWO)
        if message:
            with pytest.raises(RolloutError, match=message):
                await members[1].shadows.begin(ShadowRequest(version=version))
        registry.is_down = True
        with pytest.raises(RegistryUnavailableError):
            await members[1].shadows.begin(ShadowRequest(version=version))

        assert held(members) == [True, True]

    run(scenario)


def test_without_a_champion_or_a_shadow_there_is_nothing_to_begin_or_to_end() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        with pytest.raises(RolloutError, match="There is no shadow"):
            await members[0].shadows.end()
        registry.alias = None
        with pytest.raises(RolloutError, match="no champion that serves"):
            await members[0].shadows.begin(TWO)

    run(scenario)


def test_the_alias_begins_and_ends_a_shadow_and_its_figures_are_in_the_run() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        members[0].loader.predictors["2"] = DOUBLE
        registry.shadow = "2"
        await poll(members[1])
        await until(lambda: held(members) == [True, True])
        async with client_of(members[0]) as client:
            await predict(client, 3)
            await figures_of(members[0], requests=1)

        registry.shadow = None
        await poll(members[1])
        await until(lambda: len(registry.logged) == 1)

        assert held(members) == [False, False]
        (logged,) = registry.logged
        assert (logged.version, logged.metrics["shadow.rows"]) == ("2", 1)
        assert logged.metrics["shadow.difference_max"] == pytest.approx(3)
        (comparison, rows) = sorted(logged.documents)
        assert comparison.startswith("shadow/against-1-")
        assert logged.documents[comparison]["champion"] == "1"
        assert logged.documents[rows]["columns"] == ["a"]
        assert logged.documents[rows]["rows"][0]["row"] == [3]

    run(scenario)


def test_a_replica_that_starts_holds_the_shadow_with_its_share() -> None:
    async def scenario(group: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(ShadowRequest(version="2", share=20))
        late = group.add(registry)
        await late.follower.load_now()

        await poll(late)
        await until(lambda: held([late]) == [True])

        assert late.shadows.member.state == members[0].shadows.member.state
        assert late.catalog.source().shadow.share == 0.2  # type: ignore[union-attr] # it is held

    run(scenario)


def test_a_shadow_that_becomes_the_champion_ends() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(TWO)
        await members[0].fleet.load(LoadRequest(version="2"))
        at_once = [member.catalog.source().shadow for member in members]

        await poll(members[1])

        assert at_once == [None, None]
        assert held(members) == [False, False]
        assert (registry.alias, registry.shadow) == ("2", None)

    run(scenario)


def test_figures_that_cannot_be_written_are_written_later_and_requests_go_on() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(TWO)
        shadows = members[0].shadows
        async with client_of(members[0]) as client:
            await predict(client, 3)
            await figures_of(members[0], requests=1)
            reading = await asyncio.to_thread(shadows._records.read)
            registry.is_down = True
            shadows._next_write_s = 0
            await shadows.follow(reading)
            await until(lambda: shadows.trouble != "")
            away = (await client.get("/model/shadow")).json()["trouble"]
            assert await predict(client, 3) == pytest.approx([3])
            registry.is_down = False
            shadows._next_write_s = 0
            await shadows.follow(reading)
            await until(lambda: len(registry.logged) == 1)

        assert "The figures are not in MLflow" in away

    run(scenario)


def test_only_one_replica_writes_the_figures() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(TWO)
        async with client_of(members[0]) as client:
            await predict(client, 3)
            await figures_of(members[0], requests=1)
        for member in members:
            member.shadows._next_write_s = 0

        await poll(members[0])
        await poll(members[1])
        await until(lambda: len(registry.logged) == 1)
        await poll(members[1])

        assert len(registry.logged) == 1

    run(scenario)


def test_a_refused_version_of_the_alias_is_named_in_the_status() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        registry.refused.add("2")
        registry.shadow = "2"

        await poll(members[0])
        await until(lambda: all(member.shadows.member.report().error is not None for member in members))
        status = await members[0].shadows.describe()

        assert (status.replicas, status.replicas_ready) == (2, 0)
        assert "It is damaged" in str(status.trouble)
        assert isinstance(members[0].shadows.member.report().error, MantaError)

    run(scenario)
