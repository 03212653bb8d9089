"""Many simulated rollouts at once: bad events by chance, judged by the real test after each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.serving.rollout.decision import LIMIT, Kind, log_e

SHARES = (0.05, 0.10, 0.25, 0.50)


@dataclass(frozen=True)
class Outcome:
    """How some rollouts ended."""

    rollbacks: float
    """Part of the rollouts that went back."""
    median_rows: float | None
    """Rows of both sides until the rollback, at the median of those that went back."""


def simulate(
    champion_rate: float,
    challenger_rate: float,
    *,
    rows_of_step: int,
    rollouts: int = 1000,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> Outcome:
    """Simulate rollouts, looking after every bad event.

    Args:
        champion_rate: Chance of a bad event of one row.
        challenger_rate: The same of the challenger.
        rows_of_step: Rows of both sides in each step. Each row is a request.
        rollouts: Number of rollouts.
        shares: Share of each step.
        seed: Seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    evidence = np.zeros(rollouts)
    """Logarithms of the e-values of the rollouts that go on."""
    limit = np.log(LIMIT * len(Kind) - (len(Kind) - 1))  # the other kinds have no event, so that their e-values are 1
    gone_after: list[float] = []
    for step, share in enumerate(shares):
        rate = share * challenger_rate + (1 - share) * champion_rate
        events = int(rows_of_step * rate + 8 * np.sqrt(rows_of_step * rate) + 16)
        rows = np.cumsum(random.geometric(rate, (len(evidence), events)), axis=1)
        k = np.cumsum(random.random(rows.shape) < share * challenger_rate / rate, axis=1)
        logs = evidence[:, None] + log_e(k, np.broadcast_to(np.arange(1, events + 1), k.shape), share)
        hits = (rows <= rows_of_step) & (logs >= limit)
        is_gone = hits.any(axis=1)
        gone_after += (step * rows_of_step + rows[is_gone, hits.argmax(axis=1)[is_gone]]).tolist()
        last = (rows <= rows_of_step).sum(axis=1) - 1
        evidence = np.where(last < 0, evidence, logs[np.arange(len(logs)), last])[~is_gone]
    return Outcome(len(gone_after) / rollouts, float(np.median(gone_after)) if gone_after else None)
