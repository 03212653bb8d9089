"""What happens next in a rollout, decided from its state and its counts alone."""

import math
import shlex
import time
from enum import Enum
from typing import Final

from app.serving.loading.served_model import ServedModel
from app.serving.rollout.counts import CHALLENGER, CHAMPION, KINDS, REQUESTS, ROWS, RolloutCounts
from app.serving.rollout.decision import LIMIT, Kind, e_values, mean_e_value
from app.serving.rollout.disagreement import Disagreement
from app.serving.rollout.policy import RolloutState

LARGEST: Final = 1e12
"""Largest e-value in messages and tags."""

Z: Final = 1.96
"""Quantile of the normal distribution for an interval of 95 %."""


class Move(Enum):
    """What happens next."""

    WAIT = "wait"
    NEXT_STEP = "next step"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"
    END_HOLD = "end hold"
    ASK = "ask"
    """A person decides: the versions disagree more often than the policy allows."""


def next_move(
    state: RolloutState, counts: RolloutCounts, disagreement: Disagreement, *, now_s: float, all_hold: bool
) -> Move:
    """Decide what happens next in a rollout that is in a step.

    Args:
        state: The rollout.
        counts: Counts of all replicas.
        disagreement: The rows that both versions have answered, on all replicas.
        now_s: Seconds since 1970.
        all_hold: Whether every replica holds both versions. No step begins without it.
    """
    if mean_e_value(counts.steps(state.policy)) >= LIMIT:
        return Move.ROLL_BACK
    rows = counts.figures[state.step, CHALLENGER, ROWS]
    is_early = now_s - state.step_began_s < state.policy.shortest_s(state.step)
    if is_early or rows < state.policy.min_rows or not all_hold:
        return Move.WAIT
    bound = state.policy.max_disagreement
    if bound is not None and disagreement.rows < state.policy.min_rows:
        return Move.WAIT
    if bound is not None and disagreement.percent > bound:
        return Move.ASK
    if state.step + 1 < len(state.policy.steps):
        return Move.NEXT_STEP
    return Move.END_HOLD if state.policy.hold else Move.PROMOTE


def capped_e_values(state: RolloutState, counts: RolloutCounts) -> dict[str, float]:
    """Return the e-values by kind, and their mean, for messages."""
    steps = counts.steps(state.policy)
    values = {str(kind): value for kind, value in e_values(steps).items()} | {"mean": mean_e_value(steps)}
    return {name: float(f"{min(value, LARGEST):.4g}") for name, value in values.items()}


def figures(state: RolloutState, counts: RolloutCounts | None) -> dict[str, str]:
    """Return the tags of the version that say more about the end of a rollout."""
    tags = {"rollout.seconds": f"{time.time() - state.started_s:.0f}"}
    if counts is not None:
        tags |= {f"rollout.e_{name}": f"{value:g}" for name, value in capped_e_values(state, counts).items()}
        tags["rollout.requests"] = str(counts.figures[:, CHALLENGER, REQUESTS].sum())
    return tags


def evidence(state: RolloutState, counts: RolloutCounts) -> str:
    """Say which kind of bad events speaks most against the version, with its figures."""
    values = e_values(counts.steps(state.policy))
    kind = max(values, key=lambda name: values[name])
    challenger, champion = (
        f"{counts.figures[:, side, KINDS.index(kind)].sum()} of {counts.figures[:, side, REQUESTS].sum()} requests"
        for side in (CHALLENGER, CHAMPION)
    )
    return (
        f"{_NAMES[kind]}: {challenger} of version {state.version}, {champion} of version {state.champion} "
        f"(e-value {min(values[kind], LARGEST):.3g})"
    )


def question(state: RolloutState, disagreement: Disagreement, *, model: str) -> str:
    """Say what a person has to decide in a rollout that is held."""
    name = shlex.quote(model)
    return (
        f"The versions predict different classes for {disagreement.percent:.3g} % of {disagreement.rows:,} rows, "
        f"and max_disagreement is {state.policy.max_disagreement:g} %. The rollout waits for you: "
        f"`manta rollout promote --name {name}` or `manta rollout abort --name {name}`."
    )


def differences(counts: RolloutCounts) -> str:
    """Say how the rates of bad requests differ, with intervals of 95 % (Agresti, Caffo, American Statistician 2000)."""
    has_labels = counts.figures[:, :, KINDS.index(Kind.WRONG)].any()
    kinds = [kind for kind in KINDS if kind != Kind.WRONG or has_labels]
    return "; ".join(f"{_NAMES[kind]}: {_difference(counts, KINDS.index(kind))}" for kind in kinds)


def incompatibility(champion: ServedModel, challenger: ServedModel) -> str:
    """Say why requests to the champion cannot be answered by the challenger; empty if they can."""
    ours, theirs = champion.predictor, challenger.predictor
    reason = ours.columns.difference_to(theirs.columns)
    if reason:
        return reason
    if ours.classes != theirs.classes or ours.output_classes != theirs.output_classes:
        return f"its classes are {theirs.classes[:5]}, those of the champion {ours.classes[:5]}"
    if ours.answers != theirs.answers:
        return f"it answers {', '.join(theirs.answers)}, the champion {', '.join(ours.answers)}"
    return ""


def _difference(counts: RolloutCounts, index: int) -> str:
    bad = [float(counts.figures[:, side, index].sum()) for side in (CHALLENGER, CHAMPION)]
    requests = [float(counts.figures[:, side, REQUESTS].sum()) for side in (CHALLENGER, CHAMPION)]
    rates = [(b + 1) / (n + 2) for b, n in zip(bad, requests, strict=True)]
    half = Z * math.sqrt(sum(p * (1 - p) / (n + 2) for p, n in zip(rates, requests, strict=True)))
    middle = rates[0] - rates[1]
    return f"{middle:+.2%} [{middle - half:+.2%}, {middle + half:+.2%}]"


_NAMES: Final = {Kind.ERROR: "errors", Kind.SLOW: "slow answers", Kind.WRONG: "wrong answers"}
