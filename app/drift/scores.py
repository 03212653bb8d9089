"""The score of a version in a window: estimated without labels, and realised with the labels that came.

An estimate assumes that the probabilities are as well calibrated in the window as on the held-out rows. The estimate
falls if the rows are harder for the model. If the same rows have other labels now, only a realised score falls.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from app.errors import MantaError
from app.training.data.dataset import Rows
from app.training.evaluation.bootstrap import Resampling, interval_percentiles
from app.training.evaluation.classification_scores import Score
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.scores import weighted_metric

RESAMPLES: Final = 300
"""Number of resamples of an estimate."""

PERMUTATIONS: Final = 1000
"""Number of permutations for the p-value of a realised score."""

TOLERANCE: Final = 1e-9
"""Rounding error of a difference of scores."""

MIN_LABELS: Final = 50
"""Minimum number of labels for a realised score."""

MIN_HELD_OUT: Final = 30
"""Minimum number of held-out rows for an estimate."""

FIRST_STEPS: Final = 12
NEXT_STEPS: Final = 3
"""Steps of Newton's method for the fit of all rows, and for those of the resamples, which begin there."""

LONGEST_STEP: Final = 2.0
PENALTY: Final = 0.01
"""Weight of a quadratic penalty. Without it, the fit of separable rows would not converge."""

SMALLEST: Final = 1e-6
"""Probabilities are cut to this distance from 0 and 1."""


@dataclass(frozen=True, kw_only=True)
class ScoreChange:
    """A score of the window beside that of the held-out rows."""

    metric: str
    before: float
    """On the held-out rows."""
    after: float
    """In the window."""
    low: float
    """Lower end of the 95 % interval of `after`."""
    high: float
    """Upper end of the 95 % interval of `after`."""
    rows: int
    """Rows of the window that were used."""
    p_value: float
    """Chance of a score at least as low without any drift."""


def estimate_accuracy(held_out: Predictions, labels: np.ndarray, window: Predictions) -> ScoreChange | None:
    """Estimate the accuracy in a window without its labels.

    The probability of the answered class is calibrated on the held-out rows (Platt, 1999); the mean of the calibrated
    probabilities in the window is the estimate (the confidence-based estimate of Guillory et al., ICCV 2021).

    Args:
        held_out: Answers for the held-out rows, with probabilities.
        labels: Shape (held-out rows,): their labels.
        window: Answers in the window, with probabilities.

    Returns:
        The estimate; None if the model gives no probabilities, or if the held-out rows are too few or all right.
    """
    if held_out.probabilities is None or window.probabilities is None or len(labels) < MIN_HELD_OUT:
        return None
    is_right = held_out.answers.astype(str) == labels.astype(str)
    if is_right.all() or not is_right.any():
        return None
    before, after = _log_odds(held_out.probabilities), _log_odds(window.probabilities)
    generator = np.random.default_rng(0)
    size = len(labels)
    weights = generator.multinomial(size, np.full(size, 1 / size), size=RESAMPLES).astype(np.float64)
    start = _calibrate(before, is_right, np.ones((1, size)), start=np.zeros((1, 2)), steps=FIRST_STEPS)
    calibrations = np.concatenate(
        [
            _calibrate(before, is_right, part, start=np.repeat(start, len(part), axis=0), steps=NEXT_STEPS)
            for part in np.array_split(weights, 10)
        ]
    )
    drawn_after = (generator.integers(len(after), size=len(after)) for _ in range(RESAMPLES))
    estimates = np.array(
        [_probability(after[rows], *pair).mean() for rows, pair in zip(drawn_after, calibrations, strict=True)]
    )
    differences = estimates - weights @ is_right / size
    [[slope, offset]] = start
    low, high = np.percentile(estimates, [2.5, 97.5])
    return ScoreChange(
        metric="accuracy",
        before=float(is_right.mean()),
        after=float(_probability(after, slope, offset).mean()),
        low=float(low),
        high=float(high),
        rows=len(after),
        p_value=_share_not_worse(differences),
    )


def realise(
    metric_name: str, held_out: Predictions, labels: np.ndarray, window: Predictions, window_labels: np.ndarray
) -> ScoreChange | None:
    """Compute the score of the labelled rows of a window, with an interval by the bootstrap of the gate.

    The p-value comes from a permutation test, which exchanges held-out and labelled rows at random. A bootstrap would
    raise false alarms for few held-out rows: if all of them are right, no resample contains a wrong row.

    Args:
        metric_name: Metric of the gate.
        held_out: Answers for the held-out rows.
        labels: Shape (held-out rows,): their labels.
        window: Answers for the labelled rows of the window.
        window_labels: Shape (labelled rows,): their labels, `MIN_LABELS` or more.

    Returns:
        The score; None if the metric is not defined for the labels.
    """
    metric = find_metric(metric_name)
    try:
        before, after = (
            weighted_metric(metric_name, predicted, target)
            for predicted, target in ((held_out, labels), (window, window_labels))
        )
    except MantaError:
        return None
    resampling = Resampling.of(_rows(window_labels), metric)
    window_scores = np.array([after(weights) for weights in resampling.weights()])
    if not np.isfinite(window_scores).all():
        return None
    low, high = np.percentile(window_scores, interval_percentiles(resampling.degrees_of_freedom))
    score, window_score = before(np.ones(len(labels))), after(np.ones(len(window_labels)))
    pooled = weighted_metric(metric_name, _join(held_out, window), np.concatenate([labels, window_labels]))
    is_held_out = np.arange(len(labels) + len(window_labels)) < len(labels)
    generator = np.random.default_rng(1)
    exchanged = np.array([_change(pooled, generator.permutation(is_held_out)) for _ in range(PERMUTATIONS)])
    differences = metric.sign * (exchanged - (window_score - score))
    return ScoreChange(
        metric=metric_name,
        before=score,
        after=window_score,
        low=float(low),
        high=float(high),
        rows=len(window_labels),
        # A permutation whose score is not defined, such as a ROC AUC of one class, counts as no drift.
        p_value=float((np.count_nonzero(~(differences > TOLERANCE)) + 1) / (PERMUTATIONS + 1)),
    )


def _join(first: Predictions, second: Predictions) -> Predictions:
    probabilities = None
    if first.probabilities is not None and second.probabilities is not None:
        probabilities = np.concatenate([first.probabilities, second.probabilities])
    answers = np.concatenate([first.answers, second.answers])
    return Predictions(answers=answers, probabilities=probabilities, classes=first.classes)


def _change(score: Score, is_held_out: np.ndarray) -> float:
    """Return the score of the other rows less the score of the held-out rows."""
    return score((~is_held_out).astype(np.float64)) - score(is_held_out.astype(np.float64))


def _rows(target: np.ndarray) -> Rows:
    return Rows(features=pd.DataFrame(index=range(len(target))), target=pd.Series(target))


def _share_not_worse(differences: np.ndarray) -> float:
    return float((np.count_nonzero(differences >= 0) + 1) / (len(differences) + 1))


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    answered = np.clip(probabilities.max(axis=1), SMALLEST, 1 - SMALLEST)
    odds: np.ndarray = np.log(answered / (1 - answered))
    return odds


def _calibrate(
    log_odds: np.ndarray, is_right: np.ndarray, weights: np.ndarray, *, start: np.ndarray, steps: int
) -> np.ndarray:
    """Fit logistic regressions of one variable to weighted rows by Newton's method, all at the same time.

    Args:
        log_odds: Shape (rows,).
        is_right: Shape (rows,), boolean.
        weights: Shape (fits, rows).
        start: Shape (fits, 2): slope and offset to begin with.
        steps: Number of steps.

    Returns:
        Shape (fits, 2): slope and offset.
    """
    inputs = np.column_stack([log_odds, np.ones(len(log_odds))])
    parameters = start.copy()
    for _ in range(steps):
        probabilities = 1 / (1 + np.exp(-np.clip(parameters @ inputs.T, -30, 30)))
        gradients = (weights * (probabilities - is_right)) @ inputs + PENALTY * parameters
        curvature = weights * probabilities * (1 - probabilities)
        products = curvature @ np.column_stack([log_odds**2, log_odds, np.ones(len(log_odds))])
        hessians = products[:, [0, 1, 1, 2]].reshape(-1, 2, 2) + PENALTY * np.eye(2)
        parameters -= np.clip(np.linalg.solve(hessians, gradients[:, :, None])[:, :, 0], -LONGEST_STEP, LONGEST_STEP)
    return parameters


def _probability(log_odds: np.ndarray, slope: float, offset: float) -> np.ndarray:
    probability: np.ndarray = 1 / (1 + np.exp(-(slope * log_odds + offset)))
    return probability
