"""Runs rollouts: begins them, takes them from step to step, and ends them.

The state is in MLflow alone: the aliases `champion` and `challenger`, and one tag of the registered model. One replica
at a time reads it, tells the others, and takes the next step, so that any replica can go on where another one stopped.
MLflow has no compare-and-set: every step can be taken twice with the same result.
"""

import asyncio
import logging
import shlex
import time
import uuid
from typing import Final

from app import names
from app.errors import LoadInProgressError, MantaError, ModelRefusedError, PlatformError, RolloutError
from app.models.rollout_records import RolloutReading, RolloutRecords
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember
from app.serving.rollout import change_log, stepping
from app.serving.rollout.counts import RolloutCounts
from app.serving.rollout.member import RolloutMember, RolloutReport, sum_counts, sum_disagreement
from app.serving.rollout.policy import Policy, RolloutState, Verdict
from app.serving.rollout.rollout_store import RolloutStore
from app.serving.rollout.slowness import champion_p95
from app.serving.rollout.stepping import Move
from app.serving.shadow.comparison import answers_classes

log = logging.getLogger(names.SERVING_LOG)

PREPARE_ATTEMPTS: Final = 60
PREPARE_PAUSE_S: Final = 1.0
"""How often, and after which pause, a rollout that begins looks whether another load has ended."""

PREPARE_GRACE_S: Final = 15.0
"""How long the alias of a rollout that begins may be missing: it is set after the tag."""

MAX_REASON: Final = 1000  # characters; MLflow stores at most 5,000 in a tag


class Rollouts:
    """Runs the rollouts of one model.

    Args:
        fleet: Loads the champion.
        member: The part of this replica.
        records: What MLflow stores.
    """

    def __init__(self, fleet: Fleet, member: RolloutMember, records: RolloutRecords) -> None:
        self.member = member
        self.trouble = ""
        """Why the last step was not taken; empty if it was."""
        self.fleet = fleet
        self.model = fleet.replica.model_name
        """Name of the registered model."""
        self._store = RolloutStore(records)
        self._lock = asyncio.Lock()

    @property
    def state(self) -> RolloutState | None:
        """See `RolloutStore.state`."""
        return self._store.state

    async def begin(self, version: str, policy: Policy) -> None:
        """Begin a rollout, and return when every replica holds both versions.

        Raises:
            RolloutError: A rollout is running, there is no champion, or the version is the champion.
            ModelNotFoundError: The version does not exist.
            ModelRefusedError: A replica cannot serve the version, or it has other columns or classes.
            LoadInProgressError, RegistryUnavailableError, PlatformError: See `Fleet.load`.
        """
        async with self._lock:
            reading, state = await self._store.read()
            if state is not None and state.verdict is None:
                raise RolloutError(
                    f"The rollout of version {state.version} is running.",
                    next_step=f"Wait for its end, or end it: `manta rollout abort --name {shlex.quote(self.model)}`.",
                )
            await asyncio.to_thread(self.fleet.replica.registry.find, self.model, version=version)
            await self._prepare_to_end(await self._create(version, policy, reading))

    async def abort(self, reason: str = "on request") -> None:
        """End the running rollout. The champion answers all requests again.

        Raises:
            RolloutError: No rollout is running.
            RegistryUnavailableError: MLflow does not answer.
        """
        async with self._lock:
            await self._end(await self._store.read_running(), "aborted", reason)

    async def promote(self) -> None:
        """Let the version of the running rollout take all traffic at once.

        Raises:
            RolloutError: No rollout is running.
            MantaError: See `Fleet.load`.
        """
        async with self._lock:
            await self._promote(await self._store.read_running(), "on request")

    async def on_state(self, state: RolloutState | None) -> RolloutReport:
        """See `RolloutMember.on_state`."""
        self._store.state = state
        return await self.member.on_state(state)

    async def poll(self) -> RolloutReading | None:
        """Read MLflow, tell the other replicas, and take the next step. A failure is logged."""
        async with self._lock:
            reading, trouble = None, ""
            try:
                reading, state = await self._store.read()
                await self._continue(reading, state)
            except LoadInProgressError as error:
                log.info("the rollout waits: %s", error)
            except MantaError as error:
                trouble = str(error)
                if trouble != self.trouble:
                    change_log.stuck(self.model, trouble)
            self.trouble = trouble
            return reading

    async def _create(self, version: str, policy: Policy, reading: RolloutReading) -> RolloutState:
        champion = reading.aliases.get(names.CHAMPION)
        if champion is None or self.fleet.replica.served_version != champion:
            raise RolloutError(
                f"{self.model!r} has no champion that serves.", next_step="Load a version first: `manta load`."
            )
        if champion == version:
            raise RolloutError(
                f"Version {version} is the champion already.", next_step="Name another version: `manta models`."
            )
        served = self.fleet.replica.served
        if policy.max_disagreement is not None and served is not None and not answers_classes(served.predictor):
            raise RolloutError(
                f"max_disagreement compares classes, and {self.model!r} predicts numbers.",
                next_step="Begin the rollout without --max-disagreement.",
            )
        state = RolloutState(
            id=uuid.uuid4().hex[:16], version=version, champion=champion, policy=policy, started_s=time.time()
        )
        await self._store.begin(state)
        change_log.began(self.model, state)
        return state

    async def _continue(self, reading: RolloutReading, state: RolloutState | None) -> None:
        """Take the next step of a rollout, whichever replica took the last one."""
        challenger, champion = (reading.aliases.get(alias) for alias in (names.CHALLENGER, names.CHAMPION))
        if state is not None and state.verdict is None:
            await self._advance(state, challenger, champion)
        elif state is not None and not state.is_closed:
            await self._close(state)
        elif challenger is not None and challenger != champion:
            log.info("the alias %r was set to version %s: a rollout begins", names.CHALLENGER, challenger)
            await self._prepare(await self._create(challenger, Policy(), reading))
        else:
            await self._tell(state)

    async def _advance(self, state: RolloutState, challenger: str | None, champion: str | None) -> None:
        if champion == state.version:
            await self._end(state, "promoted", "the alias `champion` names the version")
        elif champion != state.champion:
            await self._end(state, "aborted", _moved(names.CHAMPION, champion))
        elif challenger != state.version:
            if state.step >= 0 or challenger is not None or time.time() - state.started_s > PREPARE_GRACE_S:
                await self._end(state, "aborted", _moved(names.CHALLENGER, challenger))
        elif state.step < 0:
            await self._prepare(state)
        else:
            await self._take_step(state)

    async def _prepare_to_end(self, state: RolloutState) -> None:
        """Prepare a rollout, or wait for the replica that prepares it already.

        Raises:
            MantaError: See `begin`.
        """
        for _ in range(PREPARE_ATTEMPTS):
            try:
                await self._prepare(state)
            except LoadInProgressError:
                await asyncio.sleep(PREPARE_PAUSE_S)
            _, current = await self._store.read()
            if current is None or current.id != state.id:
                raise RolloutError(f"The rollout of version {state.version} was ended meanwhile.")
            if current.verdict is not None:
                raise RolloutError(f"The rollout of version {state.version} ended: {current.verdict}: {current.reason}")
            if current.step >= 0:
                return
        await self._end(state, "aborted", "another load was in progress all the time")
        raise LoadInProgressError("Another load was in progress all the time.", next_step="Send the request again.")

    async def _prepare(self, state: RolloutState) -> None:
        """Load the version on every replica, beside the champion, and begin the first step."""
        try:
            version = await asyncio.to_thread(self.fleet.replica.registry.find, self.model, version=state.version)
            await self.member.challenger.fleet.move(version, promote=False)
            served, challenger = self.fleet.replica.served, self.member.challenger.replica.served
            reason = stepping.incompatibility(served, challenger) if served and challenger else ""
            if reason:
                raise ModelRefusedError(
                    f"Version {state.version} cannot share the traffic: {reason}.",
                    next_step=f"Give it all traffic: set the alias `champion` to version {state.version} in MLflow.",
                )
        except LoadInProgressError:
            raise  # the next poll tries again
        except MantaError as error:
            await self._end(state, "refused", str(error))
            raise
        await self._begin_step(state, 0)

    async def _begin_step(self, state: RolloutState, step: int) -> None:
        state = state.model_copy(update={"step": step, "step_began_s": time.time()})
        await self._store.write(state)
        change_log.step_began(self.model, state)
        await self._tell(state)

    async def _take_step(self, state: RolloutState) -> None:
        if state.slow_s is None:
            state = await self._learn_slowness(state)
        reports = await self._tell(state)
        counts = sum_counts(reports)
        if counts is None:
            return
        all_hold = all(report.holds_both for report in reports)
        disagreement = sum_disagreement(reports)
        move = stepping.next_move(state, counts, disagreement, now_s=time.time(), all_hold=all_hold)
        if move is Move.ROLL_BACK:
            await self._end(state, "rolled back", stepping.evidence(state, counts), counts)
        elif move is Move.NEXT_STEP:
            await self._begin_step(state, state.step + 1)
        elif move is Move.END_HOLD:
            await self._end(state, "held", stepping.differences(counts), counts)
        elif move is Move.ASK and not state.is_held:
            state = state.model_copy(update={"held_step": state.step})
            await self._store.write(state)
            change_log.held(self.model, state, stepping.question(state, disagreement, model=self.model))
            await self._tell(state)
        elif move is Move.PROMOTE:
            await self._promote(state, stepping.evidence(state, counts), counts)

    async def _learn_slowness(self, state: RolloutState) -> RolloutState:
        """Take the p95 of the champion as the limit beyond which a request is slow, once it is known."""
        slow_s = await champion_p95(self.fleet.group, self.model, state.champion)
        if slow_s is None:
            return state
        state = state.model_copy(update={"slow_s": slow_s})
        await self._store.write(state)
        return state

    async def _promote(self, state: RolloutState, reason: str, counts: RolloutCounts | None = None) -> None:
        version = await asyncio.to_thread(self.fleet.replica.registry.find, self.model, version=state.version)
        await self.fleet.move(version, promote=True)
        await asyncio.to_thread(self.fleet.replica.registry.record_promotion, version)
        await self._end(state, "promoted", reason, counts)

    async def _end(
        self, state: RolloutState, verdict: Verdict, reason: str, counts: RolloutCounts | None = None
    ) -> None:
        """End a rollout: tag, replicas, verdict of the version, alias. The next poll goes on if this is interrupted."""
        figures = stepping.figures(state, counts)
        state = state.model_copy(update={"verdict": verdict, "reason": reason[:MAX_REASON], "figures": figures})
        await self._store.write(state)
        await self._tell(state)
        change_log.ended(self.model, state)
        await self._close(state)

    async def _close(self, state: RolloutState) -> None:
        await self._store.close(state)
        await self._tell(self.state)

    async def _tell(self, state: RolloutState | None) -> list[RolloutReport]:
        """Tell every replica the state, and return their parts."""
        try:
            return await self.fleet.group.broadcast(FleetMember.on_rollout, ANSWER_TIMEOUT_S, state)
        except PlatformError as error:
            log.warning("%s", error)
            return []


def _moved(alias: str, version: str | None) -> str:
    """Say what somebody did with an alias of a rollout."""
    return f"the alias `{alias}` was " + (f"moved to version {version}" if version else "deleted")
