import pytest

from app.serving.schemas import LoadRequest
from app.serving.shadow.messages import ShadowRequest
from app.serving.shadow.shadow import MAX_ROWS, MAX_WAITING
from tests.support.fake_fleet import FakeReplicaGroup, Member, until
from tests.support.fake_models import FakeRegistry
from tests.support.rollouts import QUICK, run
from tests.support.shadows import (
    DOUBLE,
    RaisingModel,
    StuckModel,
    client_of,
    figures,
    figures_of,
    held,
    predict,
    predictor,
)

TWO = ShadowRequest(version="2")


def with_predictor(members: list[Member], evaluator: object) -> None:
    for member in members:
        member.loader.predictors["2"] = predictor(evaluator)


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
            for _request in range(20):
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
        await members[0].rollouts.begin("3", QUICK.model_copy(update={"steps": (90.0,), "min_rows": 10_000}))
        await members[0].shadows.begin(TWO)

        async with client_of(members[0]) as client:
            for _request in range(40):
                await predict(client, 3)
            measures = (await client.get("/model/measures")).json()["measures"]

        requests = {one["version"]: one["requests"] for one in measures if one["role"] != "shadow"}
        await until(lambda: figures(members[0])[0] == requests.get("1", 0))
        assert requests["3"] == 40 - requests.get("1", 0) > 0

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
