"""A fleet in one process: replicas that call each other directly."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Concatenate

from mlflow.entities.model_registry import ModelVersion

from app.errors import PlatformError
from app.serving.catalog.catalog import Catalog
from app.serving.catalog.catalog_follower import CatalogFollower
from app.serving.catalog.default_model import DefaultModel
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.protocol import (
    AliasReading,
    Answer,
    Args,
    CatalogReading,
    Claim,
    Failure,
    FleetMember,
    HeldModel,
    LoadId,
    Refusal,
    Report,
)
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import FilesLocation, PackedModel
from app.serving.measures.history import Track
from app.serving.measures.measures import Measures
from app.serving.measures.tally import TallySnapshot
from app.serving.rollout.challenger import Challenger, WarmLoader
from app.serving.rollout.member import RolloutMember, RolloutReport
from app.serving.rollout.policy import RolloutState
from app.serving.rollout.recent_answers import TrueLabel
from app.serving.rollout.rollout_follower import RolloutFollower
from app.serving.rollout.rollouts import Rollouts
from app.serving.schemas import LoadRequest
from app.serving.shadow.member import ShadowMember, ShadowReport
from app.serving.shadow.messages import ShadowState
from app.serving.shadow.shadows import Shadows
from tests.support.fake_models import MODEL, MODEL_BYTES, FakeLoader, FakeRegistry
from tests.support.fake_records import FakeRecords, FakeRuns


@dataclass
class Member(FleetMember):
    """One replica of the fake fleet."""

    replica: Replica
    loader: FakeLoader
    fleet: Fleet
    follower: AliasFollower
    catalog: Catalog
    catalog_follower: CatalogFollower
    rollout_follower: RolloutFollower
    is_lost: bool = False
    """Whether the process is dead: it neither calls nor answers, and does not count as running."""
    is_hidden: bool = False
    """Whether Serve sends it no calls because it starts or stops. Its own calls go on."""
    is_full: bool = False
    """Whether the next broadcast fails because this replica does not answer in time."""
    is_cancelled: bool = False
    """Whether the next broadcast gets no answer of this replica, although the replica has handled it."""
    delay_turns: int = 0
    """How many turns of the event loop pass before this replica handles a call."""

    async def claim(self, load: LoadId | None) -> Claim:
        return await self.replica.claim(load)

    async def prepare(
        self, load: LoadId, version: ModelVersion, location: FilesLocation | None
    ) -> Report | Claim | Failure:
        return await self.replica.prepare(load, version, location)

    async def commit(self, load: LoadId, version: ModelVersion, generation: int) -> Report | Claim | Failure:
        return await self.replica.commit(load, version, generation)

    async def roll_back(self, load: LoadId, generation: int) -> Report:
        return await self.replica.roll_back(load, generation)

    async def release(self, load: LoadId, refusal: Refusal | None) -> None:
        await self.replica.release(load, refusal)

    async def report(self) -> Report:
        return self.replica.report

    async def share(self, replica: str) -> PackedModel | Failure | None:
        return await self.replica.share(replica)

    async def on_alias_seen(self, reading: AliasReading) -> None:
        await self.follower.on_alias_seen(reading)

    async def on_model(self, model: str, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as `method`
        return await self.catalog.on_model(model, method, args)

    async def on_catalog_read(self, reading: CatalogReading) -> list[HeldModel]:
        return await self.catalog_follower.on_catalog_read(reading)

    async def held_models(self) -> list[HeldModel]:
        return self.catalog.all_held_models()

    async def on_challenger(self, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as `method`
        return await self.rollouts.member.challenger.call(method, args)

    async def on_rollout(self, state: RolloutState | None) -> RolloutReport:
        return await self.rollout_follower.on_state(state)

    async def report_rollout(self) -> RolloutReport:
        return self.rollouts.member.report(self.rollouts.state)

    async def on_shadow(self, state: ShadowState | None) -> None:
        self.shadows.on_state(state)

    async def report_shadow(self, is_for_run: bool) -> ShadowReport:  # noqa: FBT001 - as `FleetMember.report_shadow`
        return self.shadows.on_report(is_for_run=is_for_run)

    @property
    def shadows(self) -> Shadows:
        return self.rollout_follower.shadows

    async def on_labels(self, labels: Sequence[TrueLabel]) -> int:
        return sum(member.on_labels(labels) for member in self.catalog.rollout_members())

    @property
    def rollouts(self) -> Rollouts:
        return self.rollout_follower.rollouts

    async def measures(self, model: str) -> list[TallySnapshot]:
        return self.catalog.measures.snapshots(model)

    async def measures_history(self, model: str) -> list[Track]:
        return self.catalog.history.read(model)


@dataclass
class FakeReplicaGroup:
    """All members that are not lost."""

    members: list[Member] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """Names of the methods that were broadcast."""
    is_away: bool = False
    """Whether Serve cannot list the replicas."""
    memory_bytes: int = 10 * MODEL_BYTES
    """Memory of a member for models beside the default model."""
    listed: tuple[str, ...] = ()
    """The models that the stack lists."""
    shows_examples: bool = True
    """Whether the members may keep rows."""
    running: int | None = None
    """How many replicas Serve counts as running; None counts those that are not lost."""

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        if self.is_away:
            raise PlatformError("The replicas do not answer.")
        name = method.__name__
        self.calls.append(name)

        async def call(member: Member) -> list[Answer]:
            for _ in range(member.delay_turns):
                await asyncio.sleep(0)
            if member.is_lost:
                return []
            if member.is_full:
                member.is_full = False
                raise PlatformError("Not all replicas answered: no answer in time")
            answer = await getattr(member, name)(*args, **kwargs)
            if member.is_cancelled or member.is_lost:
                member.is_cancelled = False
                return []
            return [answer]

        try:
            async with asyncio.timeout(timeout_s):
                results = await asyncio.gather(*(call(member) for member in self.live()), return_exceptions=True)
        except TimeoutError as error:
            raise PlatformError(f"Not all replicas answered: {name}: no answer in time") from error
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [answer for result in results if not isinstance(result, BaseException) for answer in result]

    async def count_running(self) -> int:
        if self.is_away:
            raise PlatformError("Serve's controller does not answer.")
        return len(self.live()) if self.running is None else self.running

    def live(self) -> list[Member]:
        """The members that Serve sends calls to."""
        return [member for member in self.members if not (member.is_lost or member.is_hidden)]

    def add(self, registry: FakeRegistry) -> Member:
        """Add a replica that is not started yet."""
        loader = FakeLoader(registry)
        warm_loader = WarmLoader(loader)
        replica = Replica(
            registry,
            warm_loader,
            model_name=MODEL,
            name=f"r{len(self.members)}",
            on_swap=lambda _: None,
            on_refusal=lambda _: None,
        )
        group = GroupOfMember(self)
        fleet = Fleet(replica, group)
        follower = AliasFollower(fleet)
        measures, records = Measures(), FakeRecords(registry)
        rollout = RolloutMember(replica, Challenger(replica, group), warm_loader, measures)
        shadow = ShadowMember(replica, keeps_rows=self.shows_examples, measures=measures)
        shadows = Shadows(fleet, shadow, records, FakeRuns(registry, MODEL))
        rollout_follower = RolloutFollower(Rollouts(fleet, rollout, records), shadows)
        catalog = Catalog(
            DefaultModel(replica, follower, rollout, shadow),
            registry=registry,
            records=partial(FakeRecords, registry),
            runs=partial(FakeRuns, registry),
            loader=loader,
            group=group,
            listed=self.listed,
            memory_bytes=self.memory_bytes,
            measures=measures,
        )
        member = Member(replica, loader, fleet, follower, catalog, CatalogFollower(catalog), rollout_follower)
        group.member = member
        self.members.append(member)
        return member

    def versions(self) -> list[str | None]:
        """The version that each live member serves."""
        return [member.replica.served_version for member in self.live()]


@dataclass
class GroupOfMember:
    """The group as one member calls it. The calls of a lost member end, as its process has ended."""

    group: FakeReplicaGroup
    member: Member | None = None

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        self._require_alive()
        answers = await self.group.broadcast(method, timeout_s, *args, **kwargs)
        self._require_alive()
        return answers

    async def count_running(self) -> int:
        self._require_alive()
        return await self.group.count_running()

    def _require_alive(self) -> None:
        if self.member is not None and self.member.is_lost:
            raise asyncio.CancelledError


async def fleet_of(count: int, *, serving: str | None = "1") -> tuple[FakeReplicaGroup, FakeRegistry, list[Member]]:
    """A fleet whose replicas serve a version, or none."""
    group, registry = FakeReplicaGroup(), FakeRegistry()
    members = [group.add(registry) for _ in range(count)]
    if serving is not None:
        await members[0].fleet.load(LoadRequest(version=serving))
    return group, registry, members


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition of the fleet holds, for at most a minute: the machine may be busy."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the fleet sets no event that a test could await
            await asyncio.sleep(0.001)
