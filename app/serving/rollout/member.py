"""The part of one replica in a rollout: which versions it holds, and how it splits its requests."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app import names
from app.errors import MantaError
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import ServedModel
from app.serving.measures.measures import Measures
from app.serving.rollout.challenger import Challenger, WarmLoader
from app.serving.rollout.counts import RolloutCounts, merge
from app.serving.rollout.disagreement import Disagreement
from app.serving.rollout.policy import RolloutState
from app.serving.rollout.recent_answers import RecentAnswers, TrueLabel
from app.serving.rollout.split import Split
from app.serving.shadow.shadow import Shadow

log = logging.getLogger(names.SERVING_LOG)

WARM_S: Final = 1800.0
"""How long the champion before a rollout stays in memory, so that going back to it loads nothing."""

CATCH_UP_PAUSE_S: Final = 30.0
"""Pause before a replica that started during a rollout tries again to load the challenger."""


@dataclass(frozen=True, kw_only=True)
class RolloutReport:
    """The part of one replica."""

    replica: str
    holds_both: bool
    """Whether the replica holds the champion and the challenger."""
    counts: RolloutCounts | None
    """Its counts since the rollout began; None without a rollout."""
    disagreement: Disagreement
    """The rows that both versions have answered, since this replica holds both."""


class RolloutMember:
    """The part of one replica in rollouts.

    Args:
        replica: Serves the champion.
        challenger: Holds the challenger.
        loader: The loader of `replica`.
        measures: Counts what versions do on this replica.
        load_champion: Loads the champion if this replica does not hold it; None for a replica that always holds it.
    """

    def __init__(
        self,
        replica: Replica,
        challenger: Challenger,
        loader: WarmLoader,
        measures: Measures,
        load_champion: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.challenger = challenger
        self._replica = replica
        self._loader = loader
        self._measures = measures
        self._load_champion = load_champion
        self._split: Split | None = None
        self._comparison: Shadow | None = None
        self._rollout_id = ""
        self._counts: RolloutCounts | None = None
        self._recent = RecentAnswers()
        self._catching_up: asyncio.Task[None] | None = None
        self._next_catch_up_s = 0.0
        self._warm_until_s = 0.0

    @property
    def is_in_rollout(self) -> bool:
        """Whether a rollout is running, by the last state that this replica received."""
        return self._counts is not None

    @property
    def split(self) -> Split | None:
        """How requests are split at present. None without a rollout, and if a load has moved the champion."""
        split = self._split
        if split is not None and self._replica.served_version != split.state.champion:
            return None
        return split

    async def on_state(self, state: RolloutState | None) -> RolloutReport:
        """Take over the state of the rollout.

        Args:
            state: The running or the last rollout; None if there was none.
        """
        if state is None or state.verdict is not None:
            self._end(state)
            return self.report(None)
        if self._counts is None or self._rollout_id != state.id:
            self._rollout_id, self._counts = state.id, RolloutCounts.empty(state.policy)
            self._recent = RecentAnswers()
            self._end_comparison()
        served = self._held(self._replica, state.champion)
        challenger = self._held(self.challenger.replica, state.version)
        self._loader.warm = {str(model.version.version): model for model in (served, challenger) if model}
        is_behind = challenger is None or (served is None and self._load_champion is not None)
        if is_behind and state.step >= 0:
            self._catch_up(state, needs_challenger=challenger is None)
        if served is None or challenger is None or state.step < 0:
            self._split = None
        elif self._split is None or self._split.state != state or self._split.challenger is not challenger:
            comparison = self._compare(challenger) if state.policy.max_disagreement is not None else None
            self._split = Split(state, challenger, self._counts, self._recent, comparison)
        return self.report(state)

    def on_labels(self, labels: Sequence[TrueLabel]) -> int:
        """Count the answers of this replica that labels contradict.

        Returns:
            Number of requests with a wrong answer.
        """
        if self._split is None:
            return 0
        assignments = self._recent.contradicted(labels)
        for assignment in assignments:
            self._split.add_wrong(assignment)
        return len(assignments)

    def report(self, state: RolloutState | None) -> RolloutReport:
        """Describe the part of this replica without changing it.

        Args:
            state: The rollout as this replica knows it.
        """
        is_running = state is not None and state.verdict is None
        holds_both = (
            state is not None
            and self._held(self._replica, state.champion) is not None
            and self._held(self.challenger.replica, state.version) is not None
        )
        return RolloutReport(
            replica=self._replica.name,
            holds_both=is_running and holds_both,
            counts=self._counts if is_running else None,
            disagreement=Disagreement.of(self._comparison),
        )

    def stop(self) -> None:
        """End a load of the challenger on this replica alone."""
        if self._catching_up is not None:
            self._catching_up.cancel()

    def _end(self, state: RolloutState | None) -> None:
        """Give all requests to the champion, and keep the champion before in memory for a while."""
        if self._split is not None or self._counts is not None:
            former = self._loader.warm.get(state.champion) if state else None
            is_promoted = state is not None and state.verdict == "promoted"
            self._loader.warm = {state.champion: former} if state and former and is_promoted else {}
            self._warm_until_s = time.monotonic() + WARM_S
        elif time.monotonic() > self._warm_until_s or self._replica.served_version in self._loader.warm:
            self._loader.warm = {}
        self._split = self._counts = None
        self._recent = RecentAnswers()
        self._end_comparison()
        self.stop()
        self.challenger.replica.unload()

    def forget(self) -> None:
        """Put the versions of the rollout out of memory."""
        self._split = None
        self._end_comparison()
        self._loader.warm = {}
        self.challenger.replica.unload()

    def _compare(self, challenger: ServedModel) -> Shadow:
        """Return the shadow that compares the challenger with the champion. A new challenger begins at zero."""
        if self._comparison is None or self._comparison.served is not challenger:
            self._end_comparison()
            self._comparison = Shadow(challenger, share=1.0, keeps_rows=False, measures=self._measures)
        return self._comparison

    def _end_comparison(self) -> None:
        if self._comparison is not None:
            self._comparison.stop()
        self._comparison = None

    def _catch_up(self, state: RolloutState, *, needs_challenger: bool) -> None:
        """Load what is missing on this replica alone, because the other replicas hold it already."""
        is_busy = self._catching_up is not None and not self._catching_up.done()
        if is_busy or self.challenger.replica.holder is not None or time.monotonic() < self._next_catch_up_s:
            return
        self._next_catch_up_s = time.monotonic() + CATCH_UP_PAUSE_S
        self._catching_up = asyncio.create_task(self._load(state.version if needs_challenger else None))

    async def _load(self, version: str | None) -> None:
        replica = self.challenger.replica
        try:
            if self._load_champion is not None:
                await self._load_champion()
            if version is None:
                return
            challenger = await asyncio.to_thread(self._replica.registry.find, self._replica.model_name, version=version)
            await replica.load(challenger, replica.generation)
        except MantaError as error:
            log.warning("this replica cannot load the versions of the rollout: %s", error)

    @staticmethod
    def _held(replica: Replica, version: str) -> ServedModel | None:
        return replica.served if replica.served_version == version else None


def sum_disagreement(reports: list[RolloutReport]) -> Disagreement:
    """Add the rows that both versions have answered on all replicas."""
    return Disagreement.total([report.disagreement for report in reports])


def sum_counts(reports: list[RolloutReport]) -> RolloutCounts | None:
    """Add the counts of all replicas; None if no replica has any."""
    counts = [report.counts for report in reports if report.counts is not None]
    return merge(counts) if counts else None
