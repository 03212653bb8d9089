"""Rollouts in a fleet of replicas in one process."""

import asyncio
from collections.abc import Awaitable, Callable

from app.serving.rollout.policy import Policy, RolloutState, Verdict
from tests.support.fake_fleet import FakeReplicaGroup, Member, fleet_of
from tests.support.fake_models import FakeRegistry

QUICK = Policy(steps=(10.0, 50.0), min_rows=20, min_seconds=0)
"""A policy whose steps last for 20 rows."""

Scenario = Callable[[FakeReplicaGroup, FakeRegistry, list[Member]], Awaitable[None]]


def run(scenario: Scenario, *, replicas: int = 2) -> None:
    """Run a scenario with a fleet that serves version 1."""

    async def start() -> None:
        group, registry, members = await fleet_of(replicas)
        for member in members:
            await member.rollouts.poll()
        await scenario(group, registry, members)

    asyncio.run(start())


def send(members: list[Member], requests: int, *, bad: float = 0.0, bad_champion: float = 0.0) -> int:
    """Count requests of one row on all replicas, evenly.

    Args:
        members: The replicas.
        requests: Number of requests.
        bad: Part of the challenger's requests that fail.
        bad_champion: Part of the champion's requests that fail.

    Returns:
        Number of requests that were split.
    """
    done = [0, 0]
    for index in range(requests):
        split = members[index % len(members)].rollouts.member.split
        if split is None:
            continue
        assignment = split.assign({})
        part = bad if assignment.side else bad_champion
        done[assignment.side] += 1
        if int(done[assignment.side] * part) > int((done[assignment.side] - 1) * part):
            split.add_error(assignment, rows=1)
        else:
            split.add_answer(assignment, rows=1, seconds=0.001)
    return sum(done)


def shares(members: list[Member]) -> list[float]:
    """The share of the challenger on each replica; 0 without a split."""
    splits = [member.rollouts.member.split for member in members]
    return [split.state.policy.share(split.state.step) if split else 0.0 for split in splits]


def verdict(member: Member) -> Verdict | None:
    """How the rollout ended, as a replica knows it."""
    return state(member).verdict


def state(member: Member) -> RolloutState:
    """The rollout as a replica knows it."""
    known = member.rollouts.state
    assert known is not None
    return known
