"""Decides whether a challenger is worse than the champion: a test that is valid at any moment and at any traffic.

**Assumption.** Each request, or each key of a sticky rollout, goes to the challenger by chance with the share w. A
request may end with a bad event: it failed, it was slow, or its answer was wrong. If the challenger is no worse, each
bad event is the challenger's with a chance of at most w, whatever the rate of bad events is and however it changes over
time. The test needs no rates: only n, the bad events of both sides, and k, those of the challenger.

**E-value of one step.** The likelihood ratio of a chance θ to the chance w is (θ/w)^k ((1-θ)/(1-w))^(n-k). Its mean
over a uniform θ between w and 1 is the e-value, a Beta(1, 1) mixture cut to θ > w:

    e = 1/(1-w) ∫[w, 1] θ^k (1-θ)^(n-k) dθ / (w^k (1-w)^(n-k))
      = B(1+k, 1+n-k) (1 - I_w(1+k, 1+n-k)) / ((1-w) w^k (1-w)^(n-k))

where B is the beta function and I the regularised incomplete beta function. For a true chance of at most w, each event
multiplies the ratio by at most 1 in expectation: the ratio is linear and increasing in the true chance, and 1 at w.
So e is a nonnegative supermartingale that starts at 1. By Ville's inequality it ever reaches `LIMIT` with a probability
of at most 1 / `LIMIT`, however often one looks.

**Several steps** have different shares; the product of their e-values is again such a supermartingale. **Several
kinds** of bad events are judged together by the mean of their e-values, which is one too, so the chance of a false
rollback stays at most 1 / `LIMIT` for all kinds together.

Sources: J. Ville, Étude critique de la notion de collectif (1939). M. Lindon, A. Malek, Anytime-Valid Inference for
Multinomial Count Data, NeurIPS 2022 (arXiv:2011.03567). M. Lindon, C. Sanden, V. Shirikian, Rapid Regression Detection
in Software Deployments through Sequential Testing, KDD 2022 (arXiv:2205.14762). V. Vovk, R. Wang, E-values:
Calibration, combination and applications, Annals of Statistics 49 (2021).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.special import betaincc, betaln, logsumexp

LIMIT: Final = 20.0
"""E-value at which a challenger goes back. At most 1 of `LIMIT` challengers that are no worse ever reaches it."""


class Kind(StrEnum):
    """Kinds of bad events."""

    ERROR = "error"
    """The version raised an exception or gave no answer in time."""
    SLOW = "slow"
    """The version took longer than the champion's own p95 before the rollout."""
    WRONG = "wrong"
    """The true label, which came later, differs from the prediction."""


@dataclass(frozen=True, kw_only=True)
class StepEvents:
    """The bad events of one step."""

    share: float
    """Chance that a request went to the challenger: more than 0 and less than 1."""
    bad: Mapping[Kind, tuple[int, int]]
    """For each kind, the bad events of the challenger, and those of both sides."""


def log_e(k: np.ndarray, n: np.ndarray, share: float) -> np.ndarray:
    """Return the logarithm of the e-value of one step; see above.

    Args:
        k: Bad events of the challenger.
        n: Bad events of both sides, of the same shape.
        share: Chance that a request went to the challenger: more than 0 and less than 1.
    """
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    rest = n - k
    upper = betaincc(1 + k, 1 + rest, share)
    with np.errstate(divide="ignore"):
        exact = betaln(1 + k, 1 + rest) + np.log(upper) - k * math.log(share) - rest * math.log1p(-share)
    # `upper` underflows if the challenger has far fewer bad events than its share. The integrand then falls from w on
    # like an exponential whose rate is its logarithmic slope at w.
    slope = rest / (1 - share) - k / share
    falling = -np.log(np.where(upper > 0, 1.0, slope))
    return np.asarray(np.where(upper > 0, exact, falling) - math.log1p(-share))


def e_values(steps: Sequence[StepEvents]) -> dict[Kind, float]:
    """Return the e-value of each kind over all steps. It is infinite if it exceeds the range of numbers."""
    return {kind: _exp(sum(_step_log_e(step, kind) for step in steps)) for kind in Kind}


def mean_e_value(steps: Sequence[StepEvents]) -> float:
    """Return the mean of the e-values of all kinds. The challenger goes back if it is at least `LIMIT`."""
    logs = [sum(_step_log_e(step, kind) for step in steps) for kind in Kind]
    return _exp(float(logsumexp(logs)) - math.log(len(Kind)))


def can_decide(shares: Sequence[float], events: int) -> bool:
    """Whether a challenger whose requests all fail goes back before the last of some steps ends.

    Args:
        shares: Share of each step: more than 0 and less than 1.
        events: Requests of the challenger in each step.
    """
    steps = [StepEvents(share=share, bad={Kind.ERROR: (events, events)}) for share in shares]
    return mean_e_value(steps) >= LIMIT


def _step_log_e(step: StepEvents, kind: Kind) -> float:
    k, n = step.bad.get(kind, (0, 0))
    return float(log_e(np.array(k), np.array(n), step.share)) if n else 0.0


def _exp(logarithm: float) -> float:
    return math.exp(logarithm) if logarithm < math.log(np.finfo(np.float64).max) else math.inf
