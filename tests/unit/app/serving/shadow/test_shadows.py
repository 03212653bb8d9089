import asyncio

import pytest

from app.errors import MantaError, ModelRefusedError, RegistryUnavailableError, RolloutError
from app.serving.schemas import LoadRequest
from app.serving.shadow.messages import ShadowRequest
from app.serving.shadow.shadow import MAX_ROWS, MAX_WAITING
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import FakeRegistry
from tests.support.rollouts import QUICK, run
from tests.support.shadows import (
    DOUBLE,
    OTHER_COLUMNS,
    RaisingModel,
    StuckModel,
    client_of,
    figures,
    figures_of,
    poll,
    predict,
    predictor,
)

TWO = ShadowRequest(version="2")


def held(members: list[Member]) -> list[bool]:
    return [member.shadows.member.report().is_held for member in members]


def with_predictor(members: list[Member], evaluator: object) -> None:
    for member in members:
        member.loader.predictors["2"] = predictor(evaluator)


def test_a_shadow_begins_when_every_replica_holds_it() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(ShadowRequest(version="2", share=20))

        assert held(members) == [True, True]
        assert registry.shadow == "2"
        assert [member.catalog.source().shadow.share for member in members] == [0.2, 0.2]  # type: ignore[union-attr]

    run(scenario)


def test_clients_get_the_answers_of_the_champion_and_the_differences_are_counted() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        for member in members:
            member.loader.predictors["2"] = DOUBLE
        await members[0].shadows.begin(TWO)

        async with client_of(members[0]) as client:
            predictions = await predict(client, 3, 5)
            await figures_of(members[0], requests=1)
            status = (await client.get("/model/shadow")).json()

        assert predictions == pytest.approx([3, 5])
        assert (status["figures"]["champion"], status["figures"]["rows"]) == ("1", 2)
        assert status["figures"]["difference"]["max"] == pytest.approx(5)
        assert status["rows"][0]["row"] == [5]
        assert (status["rows"][0]["champion"], status["rows"][0]["shadow"]) == pytest.approx((5, 10))

    run(scenario)


def test_the_copies_are_counted_among_the_measures() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(TWO)

        async with client_of(members[0]) as client:
            await predict(client, 3, 5)
            await figures_of(members[0], requests=1)
            measures = (await client.get("/model/measures")).json()["measures"]

        assert [(one["version"], one["role"], one["rows"]) for one in measures] == [
            ("1", "champion", 2),
            ("2", "shadow", 2),
        ]

    run(scenario)


def test_a_shadow_that_raises_costs_no_client_an_answer() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        with_predictor(members, RaisingModel())
        await members[0].shadows.begin(TWO)

        async with client_of(members[0]) as client:
            assert await predict(client, 3) == pytest.approx([3])
            await until(lambda: figures(members[0])[1] == 1)
            status = (await client.get("/model/shadow")).json()

        assert status["figures"]["last_error"] == "RuntimeError: no answer for 3.0"
        assert status["figures"]["difference"] is None

    run(scenario)


def test_copies_are_dropped_while_the_shadow_is_busy() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        model = StuckModel()
        with_predictor(members, model)
        await members[0].shadows.begin(TWO)

        async with client_of(members[0]) as client:
            for value in range(MAX_WAITING + 10):
                assert await predict(client, value) == pytest.approx([value], abs=1e-9)
            dropped = figures(members[0])[2]
            model.may_answer.set()
            answered = await figures_of(members[0], requests=MAX_WAITING + 10 - dropped)

        assert 9 <= dropped <= 10
        assert (answered.requests, answered.dropped) == (MAX_WAITING + 10 - dropped, dropped)

    run(scenario)


def test_a_shadow_that_never_answers_can_be_ended() -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        model = StuckModel()
        with_predictor(members, model)
        await members[0].shadows.begin(TWO)
        async with client_of(members[0]) as client:
            await predict(client, 3)

            await members[1].shadows.end()

            assert held(members) == [False, False]
            assert registry.shadow is None
            assert await predict(client, 3) == pytest.approx([3])
        model.may_answer.set()

    run(scenario)


def test_only_the_share_of_the_requests_is_copied() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(ShadowRequest(version="2", share=1e-9))
        async with client_of(members[0]) as client:
            for _ in range(20):
                await predict(client, 3)
            none = figures(members[0])

            await members[0].shadows.begin(TWO)
            await predict(client, 3)
            answered = await figures_of(members[0], requests=1)

        assert none == (0, 0, 0)
        assert answered.requests == 1

    run(scenario)


def test_of_a_large_request_the_shadow_answers_a_thousand_rows() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(TWO)

        async with client_of(members[0]) as client:
            await predict(client, *range(2 * MAX_ROWS))
            answered = await figures_of(members[0], requests=1)

        assert answered.rows == MAX_ROWS

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


def test_after_a_change_of_the_champion_the_shadow_is_compared_with_the_new_one() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].shadows.begin(TWO)
        async with client_of(members[0]) as client:
            await predict(client, 3)
            before = await figures_of(members[0], requests=1)
            await members[0].fleet.load(LoadRequest(version="3"))

            await predict(client, 3)
            await until(lambda: figures(members[0])[0] == 1)
            after = await figures_of(members[0], requests=1)

        assert (before.champion, after.champion, after.requests) == ("1", "3", 1)

    run(scenario)


def test_answers_of_a_challenger_are_not_compared() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("3", QUICK.model_copy(update={"steps": (99.9999,), "min_rows": 10_000}))
        await members[0].shadows.begin(TWO)

        async with client_of(members[0]) as client:
            for _ in range(20):
                await predict(client, 3)
            measures = (await client.get("/model/measures")).json()["measures"]

        requests = {one["role"]: one["requests"] for one in measures}
        await until(lambda: figures(members[0])[0] == requests.get("champion", 0))
        assert requests["challenger"] >= 15

    run(scenario)


@pytest.mark.parametrize("keeps", [True, False])
def test_rows_are_shown_only_if_the_service_shows_examples(*, keeps: bool) -> None:
    async def scenario(_: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        late_group = FakeReplicaGroup(shows_examples=keeps)
        member = late_group.add(registry)
        member.loader.predictors["2"] = DOUBLE
        await member.fleet.load(LoadRequest(version="1"))
        await member.shadows.begin(TWO)
        async with client_of(member, shows_examples=keeps) as client:
            await predict(client, 3)
            await figures_of(member, requests=1)
            shown = (await client.get("/model/shadow")).json()["rows"]
            ended = (await client.delete("/model/shadow")).json()["rows"]

        assert [len(shown), len(ended)] == [keeps, keeps]
        assert any("rows.json" in path for path in registry.logged[0].documents) is keeps
        del members

    run(scenario, replicas=1)


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
