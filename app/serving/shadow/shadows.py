"""Begins and ends shadows, and writes what they do to MLflow.

The state is in MLflow alone: the alias `shadow` names the version, and a tag of the registered model holds the share.
One replica at a time reads both and tells the others. Each replica then loads the version by itself: a replica that
does not hold it copies nothing.
"""

import asyncio
import logging
import shlex
import time
from datetime import UTC, datetime
from typing import Final

from app import names
from app.errors import MantaError, ModelRefusedError, PlatformError, RolloutError
from app.models.rollout_records import RolloutReading, RolloutRecords
from app.models.shadow_runs import ShadowRuns
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember
from app.serving.shadow import figures as shadow_figures
from app.serving.shadow import shadow_status
from app.serving.shadow.comparison import Comparison, merge
from app.serving.shadow.member import ShadowMember, ShadowReport
from app.serving.shadow.messages import ShadowRequest, ShadowState, ShadowStatus

log = logging.getLogger(names.SERVING_LOG)

WRITE_INTERVAL_S: Final = 60.0
"""Time between two writes to the run of the version."""

LOAD_GRACE_S: Final = 30.0
"""How long a shadow that begins waits for the replicas, in addition to the limit of one load."""

LOAD_PAUSE_S: Final = 0.2

FOLDER: Final = "shadow/against-{champion}-{since:%Y%m%dT%H%M%SZ}"
"""Folder among the artifacts of the run. A fleet that has lost its counts begins another folder."""


class Shadows:
    """Runs the shadow of one model.

    Args:
        fleet: Serves the champion.
        member: The part of this replica.
        records: The aliases and the tags in MLflow.
        runs: The run of the version in MLflow.
    """

    def __init__(self, fleet: Fleet, member: ShadowMember, records: RolloutRecords, runs: ShadowRuns) -> None:
        self.member = member
        self.trouble = ""
        """Why the figures could not be written last time; empty if they were."""
        self._fleet = fleet
        self.model = fleet.replica.model_name
        """Name of the registered model."""
        self._records = records
        self._runs = runs
        self._next_write_s = 0.0
        self._writing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def begin(self, request: ShadowRequest) -> None:
        """Begin a shadow, and return when every replica holds it. For the running one, this changes the share.

        Raises:
            RolloutError: There is no champion, the version is the champion, or another version is the shadow.
            ModelNotFoundError: The version does not exist.
            ModelRefusedError: A replica cannot serve the version, or it has other columns.
            RegistryUnavailableError, PlatformError: MLflow or the replicas do not answer.
        """
        async with self._lock:
            reading = await asyncio.to_thread(self._records.read)
            state = self._new_state(request, reading)
            await asyncio.to_thread(self._fleet.replica.registry.find, self.model, version=request.version)
            await asyncio.to_thread(self._records.begin_shadow, state.version, state.model_dump_json())
            try:
                await self._wait_for_replicas(state)
            except MantaError:
                await self._end(state)
                raise

    async def end(self) -> ShadowStatus:
        """End the running shadow, and return what it did.

        Raises:
            RolloutError: There is none.
            RegistryUnavailableError, PlatformError: MLflow or the replicas do not answer.
        """
        async with self._lock:
            state = _state(await asyncio.to_thread(self._records.read))
            if state is None:
                raise RolloutError("There is no shadow.", next_step="Begin one: `manta shadow VERSION`.")
            reports = await self._reports()
            await self._end(state)
            await self._write(state, merge(_comparisons(reports)))
            return await self._status(state, reports)

    async def follow(self, reading: RolloutReading) -> None:
        """Tell every replica what MLflow says, and write the figures if it is time.

        Args:
            reading: What MLflow says.
        """
        if self._lock.locked():
            return  # a request begins or ends a shadow
        state, known = _state(reading), self.member.state
        try:
            if state is not None and state.version == reading.aliases.get(names.CHAMPION):
                log.info("version %s has become the champion and is no longer the shadow", state.version)
                await asyncio.to_thread(self._records.end_shadow, state.version)
                state = None
            if known is not None and (state is None or not state.continues(known)):
                self._start_write(known, merge(_comparisons(await self._reports())))
            elif known is not None and time.monotonic() >= self._next_write_s:
                self._start_write(known, merge(_comparisons(await self._reports(is_for_run=True))))
            await self._tell(state)
        except MantaError as error:
            log.warning("the shadow does not go on: %s", error)

    async def describe(self) -> ShadowStatus:
        """Describe the running shadow by the parts of all replicas, without changing anything."""
        try:
            reports = await self._reports()
        except PlatformError:
            reports = [self.member.report()]
        return await self._status(self.member.state, reports)

    def on_report(self, *, is_for_run: bool) -> ShadowReport:
        """Describe the part of this replica, for a replica that asks.

        Args:
            is_for_run: Whether the asking replica writes the figures to the run. This replica then waits with its own.
        """
        if is_for_run:
            self._next_write_s = time.monotonic() + WRITE_INTERVAL_S
        return self.member.report()

    def on_state(self, state: ShadowState | None) -> None:
        """See `ShadowMember.on_state`."""
        if state is not None and self.member.state is None:
            self._next_write_s, self.trouble = time.monotonic() + WRITE_INTERVAL_S, ""
        self.member.on_state(state)

    def stop(self) -> None:
        """End the part of this replica."""
        self.member.stop()
        if self._writing is not None:
            self._writing.cancel()

    def _new_state(self, request: ShadowRequest, reading: RolloutReading) -> ShadowState:
        champion, known = reading.aliases.get(names.CHAMPION), _state(reading)
        if champion is None or self._fleet.replica.served is None:
            raise RolloutError(
                f"{self.model!r} has no champion that serves.", next_step="Load a version first: `manta load`."
            )
        if champion == request.version:
            raise RolloutError(
                f"Version {request.version} is the champion already.", next_step="Name another version: `manta models`."
            )
        if known is not None and known.version != request.version:
            raise RolloutError(
                f"Version {known.version} is the shadow.",
                next_step=f"End it first: `manta shadow --end --name {shlex.quote(self.model)}`.",
            )
        started_s = known.started_s if known else time.time()
        return ShadowState(version=request.version, share=request.share, started_s=started_s)

    async def _wait_for_replicas(self, state: ShadowState) -> None:
        """Wait until every replica holds a shadow.

        Raises:
            ModelRefusedError, RegistryUnavailableError, ModelNotFoundError: A replica cannot load it.
            PlatformError: It takes too long, or the replicas do not answer.
        """
        limit_s = self._fleet.replica.loader.timeout_s + LOAD_GRACE_S
        deadline_s = time.monotonic() + limit_s
        while True:
            await self._tell(state)
            reports = await self._reports()
            for report in reports:
                if isinstance(report.error, ModelRefusedError):
                    raise ModelRefusedError(
                        f"Replica {report.replica} cannot hold the shadow: {report.error}"
                    ) from report.error
                if report.error is not None:
                    raise report.error
            if reports and all(report.is_held for report in reports):
                return
            if time.monotonic() > deadline_s:
                raise PlatformError(
                    f"Not every replica holds version {state.version} after {limit_s:g} s.",
                    next_step="See the replicas' logs, then send the request again.",
                )
            await asyncio.sleep(LOAD_PAUSE_S)

    async def _end(self, state: ShadowState) -> None:
        await asyncio.to_thread(self._records.end_shadow, state.version)
        await self._tell(None)

    async def _tell(self, state: ShadowState | None) -> None:
        await self._fleet.group.broadcast(FleetMember.on_shadow, ANSWER_TIMEOUT_S, state)

    async def _reports(self, *, is_for_run: bool = False) -> list[ShadowReport]:
        return await self._fleet.group.broadcast(FleetMember.report_shadow, ANSWER_TIMEOUT_S, is_for_run)

    async def _status(self, state: ShadowState | None, reports: list[ShadowReport]) -> ShadowStatus:
        return await shadow_status.status(self._fleet.group, self.model, state, reports, trouble=self.trouble)

    def _start_write(self, state: ShadowState, comparison: Comparison | None) -> None:
        """Write the figures in the background: MLflow may be slow, and the rollout must not wait."""
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(state, comparison))

    async def _write(self, state: ShadowState, comparison: Comparison | None) -> None:
        """Write the figures to the run of the version. A failure is logged, and shown in the status."""
        if comparison is None:
            return
        figures = await shadow_status.figures(self._fleet.group, self.model, comparison)
        since = datetime.fromtimestamp(comparison.since_s, UTC)
        folder = FOLDER.format(champion=comparison.champion, since=since)
        documents = shadow_figures.documents(folder, figures, comparison.most_different, self._columns())
        step = round(time.time() - comparison.since_s)
        try:
            await asyncio.to_thread(
                self._runs.log,
                state.version,
                metrics=shadow_figures.metrics(figures, prefix="shadow"),
                step=step,
                documents=documents,
            )
            self.trouble = ""
        except MantaError as error:
            self.trouble = f"The figures are not in MLflow: {error}"
            log.warning("the figures of the shadow are not in MLflow: %s", error)

    def _columns(self) -> list[str]:
        served = self._fleet.replica.served
        return [] if served is None else served.predictor.columns.names


def _state(reading: RolloutReading) -> ShadowState | None:
    """Return the shadow that MLflow's alias names, with the share of the tag if the tag is about that version."""
    version = reading.aliases.get(names.SHADOW)
    if version is None:
        return None
    try:
        state = ShadowState.model_validate_json(reading.shadow)
    except ValueError:  # there is no tag, or it was changed by hand
        return ShadowState(version=version)
    return state if state.version == version else ShadowState(version=version)


def _comparisons(reports: list[ShadowReport]) -> list[Comparison]:
    return [report.comparison for report in reports if report.comparison is not None]
