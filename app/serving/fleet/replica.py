"""What one replica serves, and its part in a load of the whole fleet: it holds a claim, a prepared version, a refusal.

Who asks it for each of these steps is decided in `app.serving.fleet.load`; how a version is looked up in
`app.models.registry`.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import MantaError, ModelRefusedError, NoModelError
from app.models.predictor import Predictor, compile_model
from app.models.registry import Registry
from app.serving.schemas import Example, ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

PREPARE_TIMEOUT_S: Final = 120
"""The longest that download, checks and compilation of a version may take on one replica."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A version that is ready to answer."""

    version: ModelVersion
    predictor: Predictor
    example: Example
    """The version's own input example."""
    loaded_in_ms: float


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """One load of the fleet."""

    load_id: str
    label: str
    """What messages call the version that is being loaded."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a replica answers to a load that asks for it."""

    replica: str
    holder: Ticket
    """The load that this replica is held for: the one that asked, or one that asked before."""
    coordinates: str | None
    """The id of the load that this replica itself runs, if any: a ticket that nobody runs binds nobody."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a version may not serve."""

    version: str
    reason: str
    at: float
    """Time by the replica's monotonic clock."""


class Replica:
    """The model that one process serves.

    Its coroutines run on one event loop; only downloads and compilation leave it for a thread.

    Args:
        registry: Where versions come from.
        model_name: Registered model that serves.
        name: What answers call this replica.
        on_swap: Told the version's number after each swap.
        on_refusal: Told the version's number whenever a version is refused.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        model_name: str,
        name: str,
        on_swap: Callable[[str], None],
        on_refusal: Callable[[str], None],
    ) -> None:
        self.registry = registry
        self.model_name = model_name
        self.name = name
        self.coordinates: str | None = None
        """The id of the load that this replica runs for the fleet."""
        self.refusal: Refusal | None = None
        """The last version that may not serve; forgotten at the next swap."""
        self._served: Served | None = None
        self._holder: Ticket | None = None
        self._is_preparing = False
        self._prepared: Served | None = None
        self._alone = asyncio.Lock()
        self._on_swap = on_swap
        self._on_refusal = on_refusal

    @property
    def served(self) -> Served | None:
        """The version that answers now, or None before the first load."""
        return self._served

    @property
    def info(self) -> ReplicaInfo:
        """What this replica serves, for answers."""
        return ReplicaInfo(
            replica=self.name,
            version=str(self._served.version.version) if self._served else None,
            loaded_in_ms=self._served.loaded_in_ms if self._served else None,
            refused=f"version {self.refusal.version}: {self.refusal.reason}" if self.refusal else None,
        )

    def require(self) -> Served:
        """The version that answers now.

        Raises:
            NoModelError: There is none yet, or it was refused.
        """
        if self._served is None:
            raise NoModelError(
                self.refusal.reason if self.refusal else f"No version of {self.model_name!r} was loaded yet.",
                next_step="Train one with `manta train`, then POST /model/load.",
            )
        return self._served

    async def claim(self, ticket: Ticket) -> Claim:
        """Be held for a load, unless another one came first."""
        if self._holder is None:
            self._holder = ticket
        return Claim(replica=self.name, holder=self._holder, coordinates=self.coordinates)

    async def prepare(self, ticket: Ticket, version: ModelVersion) -> ReplicaInfo | Claim:
        """Make a version ready beside the one that serves.

        A replica that is held for another load gives way, as long as that load has not begun to prepare here: of
        loads that asked at the same time `app.serving.fleet.load` has chosen one by then.

        Returns:
            What serves still, where `refused` says why the version cannot serve here; or the other load's claim.
        """
        if self._holder is not None and self._holder != ticket and self._is_preparing:
            return Claim(replica=self.name, holder=self._holder, coordinates=self.coordinates)
        self._holder, self._is_preparing = ticket, True
        try:
            prepared = await self._make(version)
        except MantaError as error:
            return self.info.model_copy(update={"refused": str(error)})
        if self._holder == ticket:
            self._prepared = prepared
        return self.info.model_copy(update={"refused": None})

    async def commit(self, ticket: Ticket, version: ModelVersion) -> ReplicaInfo:
        """Serve what was prepared; a replica that came later, or lost its claim, loads the version now."""
        if self._holder == ticket and self._prepared is not None:
            self._swap(self._prepared)
        elif self._number() != str(version.version):
            try:
                await self.take(version)
            except MantaError as error:
                return self.info.model_copy(update={"refused": str(error)})
        return self.info

    async def release(self, load_id: str, refusal: Refusal | None) -> None:
        """Be free for the next load; what a load that failed had prepared is dropped."""
        if self._holder is not None and self._holder.load_id == load_id:
            self._holder, self._is_preparing, self._prepared = None, False, None
        if refusal is not None:
            self._refuse(refusal.version, refusal.reason)

    async def report(self) -> ReplicaInfo:
        """What this replica serves, for its peers."""
        return self.info

    async def take(self, version: ModelVersion) -> None:
        """Serve a version that the fleet serves already, or the champion at a start; a refusal is kept and raised.

        Raises:
            ModelRefusedError: It must not serve; the message says why.
            RegistryUnavailableError: MLflow does not answer.
        """
        async with self._alone:
            if self._number() == str(version.version):
                return
            try:
                self._swap(await self._make(version))
            except ModelRefusedError as error:
                self._refuse(str(version.version), str(error))
                raise

    def _number(self) -> str | None:
        return str(self._served.version.version) if self._served else None

    def _refuse(self, version: str, reason: str) -> None:
        self.refusal = Refusal(version=version, reason=reason, at=time.monotonic())
        self._on_refusal(version)
        log.error("version %s of %r may not serve: %s", version, self.model_name, reason)

    def _swap(self, ready: Served) -> None:
        """Let a version answer from the next request on; requests under way keep the one that they began with."""
        is_other = self._number() != str(ready.version.version)
        self._served, self._prepared, self.refusal = ready, None, None
        if is_other:
            self._on_swap(str(ready.version.version))
            log.info("%s version %s serves", ready.version.name, ready.version.version)

    async def _make(self, version: ModelVersion) -> Served:
        """Download, check and compile a version, one that serves already as well: its files may have changed."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._compile, version), PREPARE_TIMEOUT_S)
        except TimeoutError as error:
            raise ModelRefusedError(
                f"{version.name} version {version.version} was not ready after {PREPARE_TIMEOUT_S} s.",
                next_step="See this replica's log, and check that MLflow's artifact store answers.",
            ) from error

    def _compile(self, version: ModelVersion) -> Served:
        started = time.perf_counter()
        stored = self.registry.fetch(version)
        predictor = compile_model(stored, label=f"{version.name} version {version.version}")
        elapsed_ms = round((time.perf_counter() - started) * 1000, 1)
        log.info("%s version %s is ready after %.0f ms", version.name, version.version, elapsed_ms)
        return Served(
            version=version,
            predictor=predictor,
            example=Example(features=stored.example.to_numpy().tolist(), labels=stored.example_labels),
            loaded_in_ms=elapsed_ms,
        )
