"""Shadows of the models beside the default model."""

import pytest

from app.errors import ModelRefusedError, OverloadedError
from app.serving.catalog.champion_model import ChampionModel
from app.serving.shadow.messages import ShadowRequest
from tests.support.catalog import run, version_of, versions
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import FakeRegistry
from tests.support.shadows import OTHER_COLUMNS, client_of

TWO = ShadowRequest(version="2", share=100)


def model(member: Member, name: str = "a") -> ChampionModel:
    return member.catalog.model(name)


def held(members: list[Member], name: str = "a") -> list[bool]:
    """Which replicas hold the shadow of a model."""
    return [model(member, name).shadows.member.report().is_held for member in members]


def rows(member: Member) -> int:
    comparison = model(member).shadows.member.report().comparison
    return 0 if comparison is None else comparison.rows


async def begin(members: list[Member]) -> None:
    """Begin a shadow of the model `a`, which the first replica holds."""
    await version_of(members[0], "a")
    await model(members[0]).shadows.begin(TWO)


def test_every_replica_holds_the_shadow_of_a_model() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        assert held(members) == [True, True]
        assert (registry.named_rollout("a").shadow, registry.shadow) == ("2", None)
        assert (held(members, "b"), members[0].catalog.default.shadow) == ([False, False], None)

    run(scenario, replicas=2)


def test_requests_by_name_are_copied_and_the_figures_are_in_the_run() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)
        async with client_of(members[0]) as client:
            for path in ("/models/a/predict", "/models/b/predict", "/predict"):
                assert (await client.post(path, json={"features": [[1.0], [2.0]]})).status_code == 200
            await until(lambda: rows(members[0]) > 0)
            ended = (await client.delete("/models/a/shadow")).json()

        assert ended["figures"]["rows"] == 2
        assert [(logged.version, logged.metrics["shadow.rows"]) for logged in registry.logged] == [("2", 2)]
        assert (held(members), registry.named_rollout("a").shadow) == ([False, False], None)

    run(scenario, replicas=2)


def test_the_alias_begins_and_ends_a_shadow_at_the_next_readings() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        registry.named_rollout("a").shadow = "2"
        await members[0].catalog_follower.poll()
        await until(lambda: held(members) == [True, True])

        registry.named_rollout("a").shadow = None
        await members[1].catalog_follower.poll()
        await until(lambda: held(members) == [False, False])

        assert model(members[0]).shadows.member.state is None

    run(scenario, replicas=2)


def test_a_replica_that_missed_the_end_ends_its_part() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        for _reading in range(2):
            await model(members[0]).on_catalog_read(is_followed=False)

        assert held(members) == [False, True]

    run(scenario, replicas=2)


def test_a_model_with_a_shadow_stays_in_memory_and_leaves_it_afterwards() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await begin(members)
        with pytest.raises(OverloadedError):
            await version_of(members[0], "b")
        beside_shadow = versions(members, "a")

        await model(members[0]).shadows.end()
        await until(lambda: members[0].catalog.budget.held_bytes <= 1000)
        await version_of(members[0], "b")

        assert beside_shadow == ["1"]
        assert versions(members, "b") == ["1"]

    run(scenario, room=2)


def test_a_shadow_ends_with_the_service_of_its_model() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await begin(members)

        await members[0].catalog_follower.withdraw("a")

        assert "a" not in (members[0].catalog.champions or {})
        assert registry.named_rollout("a").shadow is None

    run(scenario)


def test_a_version_with_other_columns_is_no_shadow_of_a_model() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        members[0].loader.predictors["2"] = OTHER_COLUMNS

        with pytest.raises(ModelRefusedError, match="its columns differ from those of the champion"):
            await begin(members)

        assert registry.named_rollout("a").shadow is None

    run(scenario)
