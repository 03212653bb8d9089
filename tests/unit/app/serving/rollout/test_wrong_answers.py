"""Labels that contradict the answers of a rollout count for the version that answered."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from mlflow.entities.model_registry import ModelVersion

from app.models.answers import Answers
from app.serving.fleet.protocol import FleetMember
from app.serving.prediction_log.prediction_log import PredictionLog
from app.serving.rollout.counts import CHALLENGER, CHAMPION, KINDS, Assignment
from app.serving.rollout.decision import Kind
from app.serving.rollout.policy import Policy, RolloutState
from app.serving.rollout.recent_answers import ENTRY_BYTES, RecentAnswers, TrueLabel
from app.serving.schemas import LoadRequest
from app.settings import Settings
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import FakeRegistry
from tests.support.memory_log import MemoryStore
from tests.support.replica_api import ROWS, http_client, replica_api
from tests.support.rollouts import QUICK, run, shares, state, verdict

ANSWERS = np.array(["yes", "no"])
FIRST, SECOND = Assignment(CHAMPION, None, 0), Assignment(CHALLENGER, 7, 1)


def recent(max_bytes: int = 10_000) -> RecentAnswers:
    answers = RecentAnswers(max_bytes)
    answers.add("a", FIRST, ANSWERS)
    answers.add("b", SECOND, ANSWERS)
    return answers


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([("a", 0, "yes"), ("a", 1, "no")], []),
        ([("a", 0, "no")], [FIRST]),
        ([("b", 1, "another class")], [SECOND]),
        ([("a", 0, "no"), ("a", 1, "yes"), ("a", 0, "no")], [FIRST]),
        ([("a", 2, "no"), ("unknown", 0, "no")], []),
        ([("a", 0, 1), ("a", 0, True)], []),
    ],
    ids=["right", "wrong", "a new class", "once for a request", "no such row or request", "another type"],
)
def test_a_label_contradicts_the_answer_of_its_row(
    labels: Sequence[tuple[str, int, str]], expected: list[Assignment]
) -> None:
    assert recent().contradicted([TrueLabel(*label) for label in labels]) == expected


@pytest.mark.parametrize(("classes", "label"), [([0, 1], 0), ([False, True], False), ([0.0, 1.0], 0), ([0, 1], False)])
def test_numbers_are_compared_by_value(classes: list[float], label: float) -> None:
    answers = RecentAnswers()
    answers.add("a", FIRST, np.array(classes))

    assert answers.contradicted([TrueLabel("a", 0, label)]) == []
    assert answers.contradicted([TrueLabel("a", 1, label)]) == [FIRST]


def test_the_oldest_answers_are_forgotten() -> None:
    answers = recent(max_bytes=2 * (ENTRY_BYTES + ANSWERS.nbytes))

    answers.add("c", FIRST, ANSWERS)

    assert answers.contradicted([TrueLabel(name, 0, "no") for name in "abc"]) == [SECOND, FIRST]
    answers.add("d", FIRST, np.zeros(10_000))
    assert answers.contradicted([TrueLabel("d", 0, 1)]) == []


def test_an_id_that_is_used_again_names_the_later_request() -> None:
    answers = recent()

    answers.add("a", SECOND, ANSWERS)

    assert answers.contradicted([TrueLabel("a", 0, "no")]) == [SECOND]


def ask(members: list[Member], requests: range, *, wrong: float, wrong_champion: float) -> list[TrueLabel]:
    """Answer requests of one row on all replicas, evenly, and return their labels.

    Args:
        members: The replicas.
        requests: Numbers of the requests.
        wrong: Chance that the challenger answers wrongly.
        wrong_champion: Chance that the champion answers wrongly.
    """
    labels = []
    for number in requests:
        split = members[number % len(members)].rollouts.member.split
        if split is None:
            continue
        split._has_classes = True  # the models of the fake fleet are regressors
        assignment = split.assign({})
        chance = wrong if assignment.side == CHALLENGER else wrong_champion
        answer = "wrong" if random.random() < chance else "right"  # noqa: S311 - a simulation
        split.add_answer(assignment, rows=1, seconds=0.001)
        split.remember(assignment, {"x-request-id": str(number)}, Answers(predictions=np.array([answer])))
        labels.append(TrueLabel(str(number), 0, "right"))
    return labels


async def tell(group: FakeReplicaGroup, labels: list[TrueLabel]) -> None:
    await group.broadcast(FleetMember.on_labels, 10, labels)


def test_a_version_that_answers_wrongly_goes_back() -> None:
    random.seed(1)

    async def scenario(group: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", Policy(steps=(20.0,), min_rows=300))
        labels = ask(members, range(400), wrong=0.5, wrong_champion=0.05)
        await members[0].rollouts.poll()
        before = shares(members)

        await tell(group, labels)
        await members[1].rollouts.poll()

        assert before == [0.2, 0.2]
        assert verdict(members[0]) == "rolled back"
        assert (registry.alias, registry.challenger) == ("1", None)
        assert "wrong answers" in registry.version_tags["2"]["rollout.reason"]
        assert float(registry.version_tags["2"]["rollout.e_wrong"]) >= 60

    run(scenario)


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_at_most_five_percent_of_versions_that_are_no_worse_go_back(rate: float) -> None:
    random.seed(2)
    verdicts = []

    async def scenario(group: FakeReplicaGroup, _: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        for start in range(0, 400, 100):
            await tell(group, ask(members, range(start, start + 100), wrong=rate, wrong_champion=rate))
            await members[0].rollouts.poll()
        verdicts.append(state(members[0]).verdict)

    for _rollout in range(40):
        run(scenario)

    assert verdicts.count("rolled back") <= 2
    assert verdicts.count("promoted") >= 38


def test_a_held_rollout_ends_with_the_difference_of_wrong_answers() -> None:
    random.seed(3)

    async def scenario(group: FakeReplicaGroup, _: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", Policy(steps=(50.0,), min_rows=20, min_seconds=0, hold=True))
        await tell(group, ask(members, range(200), wrong=0.1, wrong_champion=0.1))

        await members[0].rollouts.poll()

        assert verdict(members[0]) == "held"
        assert "; wrong answers: " in state(members[0]).reason

    run(scenario)


def test_labels_that_a_client_sends_reach_the_rollout() -> None:
    async def scenario() -> list[int]:
        log = PredictionLog(MemoryStore(), Settings(), writer="r")
        async with replica_api(log=log) as api, http_client(api) as client:
            member: Member = api.state.member
            served = member.replica.served
            assert served is not None
            policy = Policy(steps=(50.0,), key="x-user")
            rollout = RolloutState(id="r", version="2", champion="1", policy=policy, started_s=0, step=0)
            registry = member.replica.registry
            assert isinstance(registry, FakeRegistry)
            registry.alias, registry.challenger = "1", "2"
            registry.rollout = rollout.model_dump_json()
            version = ModelVersion(name="m", version="2", creation_timestamp=0)
            member.rollouts.member.challenger.replica._served = replace(served, version=version)
            await member.rollouts.on_state(rollout)
            labels = []
            for number in range(20):
                headers = {"x-request-id": str(number), "x-user": str(number)}
                answer = await client.post(
                    "/predict", json={"features": ROWS.head(1).to_numpy().tolist()}, headers=headers
                )
                labels.append({"request_id": str(number), "label": not answer.json()["predictions"][0]})
            assert (await client.post("/feedback", json={"labels": labels})).status_code == 200
            figures = (await client.get("/model/rollout")).json()["figures"]
            return [step["wrong"] - step["requests"] for step in figures] + [step["requests"] > 0 for step in figures]

    assert asyncio.run(scenario()) == [0, 0, True, True]


def test_labels_of_a_rollout_that_ended_count_nowhere() -> None:
    async def scenario(group: FakeReplicaGroup, _: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", QUICK)
        labels = ask(members, range(50), wrong=1, wrong_champion=1)
        await members[0].fleet.load(LoadRequest(version="3"))
        await members[0].rollouts.poll()
        await members[0].rollouts.begin("2", QUICK)

        await tell(group, labels)

        counts = [member.rollouts.member.report(state(member)).counts for member in members]
        assert [int(one.figures[:, :, KINDS.index(Kind.WRONG)].sum()) for one in counts if one] == [0, 0]

    run(scenario)
