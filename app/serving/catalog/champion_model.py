"""A model beside the default model. The first request loads its champion. The model may have a rollout and a shadow."""

import time
from collections.abc import Callable
from typing import Any, Final

from mlflow.entities.model_registry import ModelVersion

from app.errors import NoModelError
from app.models.registry import Registry
from app.models.rollout_records import RolloutRecords
from app.models.shadow_runs import ShadowRuns
from app.serving import model_status
from app.serving.catalog.model_loader import CatalogLoader, LoadSlots
from app.serving.catalog.models import LazyModel
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.forwarding_group import ForwardingGroup
from app.serving.fleet.protocol import FleetMember, ReplicaGroup
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import ServedModel
from app.serving.measures.measures import Measures
from app.serving.rollout.challenger import Challenger, WarmLoader
from app.serving.rollout.member import RolloutMember
from app.serving.rollout.rollouts import Rollouts
from app.serving.rollout.split import Split
from app.serving.schemas import LoadRequest, ReplicaInfo
from app.serving.shadow.member import ShadowMember
from app.serving.shadow.shadow import Shadow
from app.serving.shadow.shadows import Shadows

LOAD_ATTEMPTS: Final = 3
"""How often a model is loaded for a request if the fleet moves to another version meanwhile."""

DESCRIBE: Final = "describe"
"""Name of the call that returns columns, classes and example of a model; None from a replica that does not hold it."""

REPLICA_METHODS: Final = frozenset({"claim", "prepare", "commit", "roll_back", "release", "share"})
"""Methods of a fleet's member that its `Replica` implements under the same name."""

MISSING_READINGS: Final = 2
"""Readings without a rollout or shadow after which a replica ends its part. One reading may be older than both."""


class ChampionModel(LazyModel):
    """A model whose champion answers.

    Args:
        name: Name of the registered model.
        registry: Client of MLflow.
        records: What MLflow stores about the rollouts of the model.
        runs: The runs of the model's versions in MLflow.
        keeps_rows: Whether rows may be kept and shown.
        slots: What the models of this replica share when they load.
        group: All replicas.
        replica_name: Name of this replica.
        measures: Counts what versions do on this replica.
    """

    def __init__(
        self,
        name: str,
        *,
        registry: Registry,
        records: RolloutRecords,
        runs: ShadowRuns,
        keeps_rows: bool,
        slots: LoadSlots,
        group: ReplicaGroup,
        replica_name: str,
        measures: Measures,
    ) -> None:
        super().__init__(name)
        self._loader = CatalogLoader(slots)
        warm_loader = WarmLoader(self._loader)
        self.replica = Replica(
            registry,
            warm_loader,
            model_name=name,
            name=replica_name,
            on_swap=lambda _: None,
            on_refusal=lambda _: None,
        )
        self.fleet = Fleet(self.replica, ForwardingGroup(group, FleetMember.on_model, name))
        self.follower = AliasFollower(self.fleet)
        challenger = Challenger(self.replica, self.fleet.group, CatalogLoader(slots))
        member = RolloutMember(self.replica, challenger, warm_loader, measures, load_champion=self.load_champion)
        self.rollouts = Rollouts(self.fleet, member, records)
        shadow = ShadowMember(self.replica, keeps_rows=keeps_rows, measures=measures, loader=CatalogLoader(slots))
        self.shadows = Shadows(self.fleet, shadow, records, runs)
        self._missing_readings = 0
        self._commands = 0
        """Loads by name that this replica runs or is about to run."""

    @property
    def served(self) -> ServedModel | None:
        """See `LazyModel.served`."""
        return self.replica.served

    @property
    def is_busy(self) -> bool:
        """See `LazyModel.is_busy`."""
        replica = self.replica
        is_loading = replica.holder is not None or replica.running_load is not None
        is_needed = self.is_in_rollout or self.shadows.member.state is not None
        return super().is_busy or is_loading or self._commands > 0 or is_needed

    @property
    def is_in_rollout(self) -> bool:
        """Whether a rollout is running, as far as this replica knows."""
        state = self.rollouts.state
        return state is not None and state.verdict is None

    @property
    def split(self) -> Split | None:
        """See `ModelSource.split`."""
        return self.rollouts.member.split

    @property
    def shadow(self) -> Shadow | None:
        """See `ModelSource.shadow`."""
        return self.shadows.member.shadow

    @property
    def refused(self) -> str | None:
        """See `LazyModel.refused`."""
        return self.replica.info.refused

    def unload(self) -> None:
        """See `LazyModel.unload`."""
        self.replica.unload()
        self.rollouts.member.forget()
        self._loader.serving_bytes = 0

    async def load(self, request: LoadRequest) -> tuple[ModelVersion, list[ReplicaInfo]]:
        """See `Fleet.load`."""
        self._commands += 1
        try:
            return await self.fleet.load(request)
        finally:
            self._commands -= 1

    async def call(self, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - the type depends on the method
        """Call a method of a fleet's member for this model; see `FleetMember`."""
        answers: dict[str, Callable[[], Any]] = {  # each answers what its method of `FleetMember` answers
            FleetMember.report.__name__: lambda: self.replica.report,
            DESCRIBE: lambda: None if self.served is None else model_status.describe(self.served),
            FleetMember.report_rollout.__name__: lambda: self.rollouts.member.report(self.rollouts.state),
            FleetMember.on_shadow.__name__: lambda: self.shadows.on_state(*args),
            FleetMember.report_shadow.__name__: lambda: self.shadows.on_report(is_for_run=args[0]),
        }
        if method in answers:
            return answers[method]()
        if method == FleetMember.on_rollout.__name__:
            return await self.rollouts.on_state(*args)
        if method == FleetMember.on_challenger.__name__:
            return await self.rollouts.member.challenger.call(*args)
        if method not in REPLICA_METHODS:
            raise ValueError(f"{method} is no method for a model")
        self.order = time.monotonic()
        return await getattr(self.replica, method)(*args)

    async def on_catalog_read(self, *, is_followed: bool) -> None:
        """Take over whether MLflow has a rollout or a shadow of this model. A replica that missed the end ends it now.

        Some time after a rollout, this call also puts the replaced champion out of memory.
        """
        self._missing_readings = 0 if is_followed else self._missing_readings + 1
        has_missed_end = self._missing_readings >= MISSING_READINGS
        if has_missed_end and self.shadows.member.state is not None:
            self.shadows.on_state(None)
        if self.rollouts.state is None or is_followed:
            return
        if not self.is_in_rollout:
            await self.rollouts.on_state(self.rollouts.state)
        elif has_missed_end:
            await self.rollouts.on_state(None)

    async def stop(self) -> None:
        """See `LazyModel.stop`."""
        await super().stop()
        self.shadows.stop()
        self.rollouts.member.stop()
        await self.rollouts.member.challenger.fleet.stop()
        await self.fleet.stop()

    async def load_champion(self) -> None:
        """Load the champion for a rollout if this replica does not hold it."""
        if self.served is None:
            await self._wait_for_load()

    async def _load(self) -> ServedModel:
        for _ in range(LOAD_ATTEMPTS):
            await self.follower.load_now()
            if self.replica.served is not None:
                return self.replica.served
        raise NoModelError(
            f"{self.name!r} has no champion, or changes its version at this moment.",
            next_step=f"Load a version: POST /models/{self.name}/load. Or set the alias `champion` in MLflow.",
        )
