"""A fleet of replicas in one process that serves models beside its default model."""

import asyncio
from collections.abc import Awaitable, Callable

from app.serving.schemas import LoadRequest
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import MODEL_BYTES, FakeRegistry

CHAMPIONS: dict[str, str | None] = {"a": "1", "b": "1", "c": "1", "none": None}


def run(
    scenario: Callable[[FakeReplicaGroup, FakeRegistry, list[Member]], Awaitable[None]],
    *,
    replicas: int = 1,
    room: int = 10,
    listed: tuple[str, ...] = (),
) -> None:
    """Run a scenario with a fleet that serves the default model and knows the models of `CHAMPIONS`.

    Args:
        scenario: The scenario.
        replicas: Number of replicas.
        room: Models that fit the memory of a replica.
        listed: The models that the stack lists.
    """

    async def start() -> None:
        group, registry = FakeReplicaGroup(memory_bytes=room * MODEL_BYTES, listed=listed), FakeRegistry()
        members = [group.add(registry) for _ in range(replicas)]
        await members[0].fleet.load(LoadRequest(version="1"))
        registry.champions = dict(CHAMPIONS)
        await members[0].catalog_follower.poll()
        await scenario(group, registry, members)

    asyncio.run(start())


async def version_of(member: Member, name: str, version: str | None = None) -> str:
    served = await member.catalog.source(name, version).require()
    assert served.version.name == name
    return str(served.version.version)


def versions(members: list[Member], name: str) -> list[str | None]:
    """The version of a model that each replica holds."""
    return [next((one.version for one in member.catalog.held_models() if one.name == name), None) for member in members]
