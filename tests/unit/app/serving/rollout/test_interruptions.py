"""What happens to a rollout if somebody moves an alias, deletes the version or loads another one, or MLflow is away."""

import pytest

from app.serving.schemas import LoadRequest
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import FakeRegistry
from tests.support.rollouts import QUICK, run, send, shares, state, verdict


@pytest.mark.parametrize(
    ("alias", "version"), [("alias", "3"), ("alias", None), ("challenger", "3"), ("challenger", None)]
)
def test_an_alias_that_is_moved_by_hand_ends_the_rollout(alias: str, version: str | None) -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)

        setattr(registry, alias, version)
        await members[1].rollouts.poll()

        assert verdict(members[0]) == "aborted"
        assert shares(members) == [0, 0]
        assert registry.challenger == (version if alias == "challenger" else None)
        name = "champion" if alias == "alias" else alias
        change = "was moved to version 3" if version else "was deleted"
        assert state(members[0]).reason == f"the alias `{name}` {change}"

    run(scenario)


def test_a_version_that_is_deleted_ends_its_rollout_and_the_next_one_begins() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        registry.deleted, registry.challenger = {"2"}, None

        await members[1].rollouts.poll()
        ended = (verdict(members[0]), state(members[0]).is_closed, members[1].rollouts.trouble)
        registry.challenger = "3"
        await members[0].rollouts.poll()

        assert ended == ("aborted", True, "")
        assert (state(members[0]).version, verdict(members[0])) == ("3", None)

    run(scenario)


def test_a_load_of_another_version_ends_the_split_at_once() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)

        await members[0].fleet.load(LoadRequest(version="3"))

        assert shares(members) == [0, 0]

    run(scenario)


def test_a_promotion_that_was_interrupted_is_finished_by_another_replica() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        await members[0].fleet.load(LoadRequest(version="2"))

        await members[1].rollouts.poll()

        assert (verdict(members[0]), registry.previous, registry.challenger) == ("promoted", "1", None)

    run(scenario)


def test_no_step_is_taken_while_mlflow_is_away_and_the_rollout_goes_on_afterwards() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        send(members, 2000)
        registry.is_down = True

        await members[0].rollouts.poll()
        away = shares(members)
        trouble = members[0].rollouts.trouble
        registry.is_down = False
        await members[1].rollouts.poll()

        assert away == [0.1, 0.1]
        assert "MLflow" in trouble
        assert shares(members) == [0.5, 0.5]

    run(scenario)
