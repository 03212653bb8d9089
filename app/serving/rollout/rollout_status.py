"""Describes a rollout, for `GET /model/rollout`, without changing anything."""

from typing import Final

from app.errors import PlatformError
from app.serving import schemas
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import FleetMember
from app.serving.rollout import stepping
from app.serving.rollout.counts import KINDS, REQUESTS, ROWS, RolloutCounts
from app.serving.rollout.decision import LIMIT, Kind
from app.serving.rollout.member import sum_counts, sum_disagreement
from app.serving.rollout.messages import RolloutStatus, StepFigures
from app.serving.rollout.policy import RolloutState
from app.serving.rollout.rollouts import Rollouts

FIELDS: Final = {Kind.ERROR: "errors", Kind.SLOW: "slow", Kind.WRONG: "wrong"}
"""Field of the message for each kind of bad requests."""


async def describe(rollouts: Rollouts, *, trouble: str = "") -> RolloutStatus:
    """Describe the running or the last rollout by the parts of all replicas.

    Args:
        rollouts: The rollouts of the model.
        trouble: Why the catalog cannot read MLflow, for a model that the catalog reads; empty if it can.
    """
    state = rollouts.state
    try:
        reports = await rollouts.fleet.group.broadcast(FleetMember.report_rollout, ANSWER_TIMEOUT_S)
    except PlatformError:
        reports = [rollouts.member.report(state)]
    counts, disagreement = sum_counts(reports), sum_disagreement(reports)
    is_running = state is not None and state.verdict is None
    return RolloutStatus(
        rollout=state,
        share=100 * state.policy.share(state.step) if state is not None and is_running else 0.0,
        figures=[] if state is None or counts is None else _figures(state, counts),
        e_values={} if state is None or counts is None else stepping.capped_e_values(state, counts),
        limit=LIMIT,
        slow_ms=None if state is None or state.slow_s is None else round(1000 * state.slow_s, 3),
        replicas=len(reports),
        replicas_ready=sum(report.holds_both for report in reports),
        disagreement=float(f"{disagreement.percent:.4g}") if disagreement.rows else None,
        compared_rows=disagreement.rows,
        trouble=rollouts.trouble
        or trouble
        or (stepping.question(state, disagreement, model=rollouts.model) if state and state.is_held else None),
        timestamp=schemas.now(),
    )


def _figures(state: RolloutState, counts: RolloutCounts) -> list[StepFigures]:
    return [
        StepFigures(
            share=share,
            version=version,
            requests=int(counts.figures[step, side, REQUESTS]),
            rows=int(counts.figures[step, side, ROWS]),
            **{FIELDS[kind]: int(counts.figures[step, side, index]) for index, kind in enumerate(KINDS)},
        )
        for step, share in enumerate(state.policy.steps[: state.step + 1])
        for side, version in enumerate((state.champion, state.version))
    ]
