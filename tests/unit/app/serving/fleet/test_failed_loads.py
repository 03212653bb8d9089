"""Loads that fail change neither a replica nor the alias."""

import asyncio
from unittest import mock

import pytest

from app.errors import ModelRefusedError, PlatformError, RegistryUnavailableError
from app.serving.fleet import load
from app.serving.schemas import LoadRequest
from tests.support.fake_fleet import fleet_of
from tests.support.fake_models import served_model


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


def test_the_version_is_prepared_on_one_replica_before_the_others() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(3)
        registry.refused = {"2"}

        with pytest.raises(ModelRefusedError, match=r"Replica r1 cannot serve m version 2: It is damaged\."):
            await members[1].fleet.load(LoadRequest(version="2"))

        assert [member.loader.prepared.count("2") for member in members] == [0, 1, 0]
        assert group.versions() == ["1"] * 3

    asyncio.run(scenario())


def test_no_replica_changes_when_one_replica_refuses() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(3)
        members[1].loader.refused = {"2"}

        with pytest.raises(ModelRefusedError, match=r"Replica r1 cannot serve m version 2: It is damaged\."):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["1"] * 3
        assert registry.promoted == ["1"]
        assert all("It is damaged" in str(member.replica.info.refused) for member in members)

    asyncio.run(scenario())


def test_an_unexpected_exception_is_a_refusal_with_its_name() -> None:
    async def scenario() -> None:
        group, _, members = await fleet_of(2)
        members[1].loader.error = KeyError("pickled_model")

        with pytest.raises(ModelRefusedError, match=r"m version 2 cannot be loaded: KeyError: 'pickled_model'"):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["1"] * 2

    asyncio.run(scenario())


def test_a_failure_of_mlflow_on_one_replica_is_no_refusal() -> None:
    async def scenario() -> None:
        _, _, members = await fleet_of(2)
        members[1].loader.error = RegistryUnavailableError("MLflow does not answer.")

        with pytest.raises(RegistryUnavailableError):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert [member.replica.refusal for member in members] == [None, None]

    asyncio.run(scenario())


def test_every_replica_goes_back_when_one_that_started_during_the_load_refuses() -> None:
    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        newcomer = group.add(registry)
        newcomer.replica.serve(served_model("1"), 1)
        newcomer.loader.refused = {"2"}
        newcomer.is_hidden = True
        promote = registry.promote

        def start_newcomer(version: object) -> None:
            promote(version)  # type: ignore[arg-type] # a mock passes any object
            newcomer.is_hidden = False

        with (
            mock.patch.object(registry, "promote", side_effect=start_newcomer),
            pytest.raises(ModelRefusedError, match="Replica r2 cannot serve"),
        ):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["1"] * 3
        assert registry.alias == "1"

    asyncio.run(scenario())


def test_a_load_that_is_not_on_every_replica_fails_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SETTLE_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        group, registry, members = await fleet_of(2)
        group.running = 3

        with pytest.raises(PlatformError, match="2 of 3 replicas served m version 2"):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert group.versions() == ["1"] * 2
        assert registry.alias == "1"

    asyncio.run(scenario())


def test_a_first_load_that_fails_leaves_no_version_and_no_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SETTLE_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        group, registry, members = await fleet_of(2, serving=None)
        group.running = 3

        with pytest.raises(PlatformError):
            await members[0].fleet.load(LoadRequest(version="1"))

        assert group.versions() == [None, None]
        assert registry.alias is None

    asyncio.run(scenario())


def test_a_failed_load_says_that_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SETTLE_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        group, _, members = await fleet_of(2)
        members[1].loader.refused = {"2"}
        with pytest.raises(ModelRefusedError, match=load.NOTHING_CHANGED):
            await members[0].fleet.load(LoadRequest(version="2"))
        group.running = 3
        with pytest.raises(PlatformError, match=f"{load.NOTHING_CHANGED} See the replicas' logs"):
            await members[0].fleet.load(LoadRequest(version="3"))

    asyncio.run(scenario())


def test_a_load_that_cannot_be_undone_names_the_alias_and_the_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "SETTLE_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        group, registry, members = await fleet_of(3)
        group.running = 4
        no_mlflow, no_answer = RegistryUnavailableError("MLflow does not answer."), PlatformError("No answer in time.")
        with (
            mock.patch.object(registry, "restore_champion", side_effect=no_mlflow),
            mock.patch.object(members[1].replica, "roll_back", side_effect=no_answer),
            pytest.raises(PlatformError, match="3 of 4 replicas served m version 2") as raised,
        ):
            await members[0].fleet.load(LoadRequest(version="2"))

        assert raised.value.next_step.startswith(
            "The load of m version 2 could not be undone. The alias 'champion' may name version 2: "
            "MLflow does not answer. Version 2 is served by: r1. The fleet follows the alias"
        )
        assert load.NOTHING_CHANGED not in raised.value.next_step
        assert group.versions() == ["1", "2", "1"]
        group.running = None
        await members[0].follower.poll()
        assert group.versions() == ["2"] * 3

    asyncio.run(scenario())


def test_a_load_of_another_registered_model_is_refused() -> None:
    async def scenario() -> None:
        _, _, members = await fleet_of(1)
        with pytest.raises(ModelRefusedError, match="serves the registered model 'm', not 'other'"):
            await members[0].fleet.load(LoadRequest(name="other", version="2"))

    asyncio.run(scenario())
