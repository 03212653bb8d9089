"""The gate: whether a newly trained model takes the place of the one that serves.

Both answer the same held-out rows. The rows are drawn again, with replacement and within each class, a thousand times,
and both are scored on every draw: the interval of their difference says how much of it is luck. How the decision is
recorded and carried out is decided in `app.training.registration`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from app.errors import ModelRefusedError
from app.models.predictor import compile_model
from app.models.registry import FAILED, HELD_OUT_TAG, PASSED, Registry
from app.training.evaluation.resampled_metrics import LOSSES, Answers, weighted

DRAWS: Final = 1000
"""Resamples of the held-out rows."""

PERCENTILES: Final = (2.5, 97.5)
"""Ends of the interval."""

NAMES_SHOWN: Final = 5
"""Columns that a message lists before it ends in dots."""

MOST_FREQUENT: Final = "answering the most frequent class"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The rows on which both are judged."""

    features: pd.DataFrame
    target: pd.Series
    shares: dict[str, float] | dict[int, float]
    """Share of each class among the training rows: all that a dummy knows."""
    how: str
    """How they were held out; a model whose rows were held out alike has not seen them."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a model has to do."""

    metric: str
    margin: float
    """By how much it must be better, in units of the metric."""
    force: bool
    """Whether it passes whatever comes out."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What the gate found; scores and interval are None where there was nothing to compare."""

    verdict: str
    metric: str
    margin: float
    opponent: str
    challenger_score: float
    opponent_score: float | None = None
    difference: float | None = None
    """By how much the challenger is better; of a loss, by how much it is lower."""
    low: float | None = None
    high: float | None = None
    reason: str = ""
    """One sentence for a person."""

    def tags(self) -> dict[str, str]:
        """The decision as tags of a run and a version."""
        return {f"gate.{name}": str(value) for name, value in asdict(self).items() if value is not None}

    def scores(self) -> dict[str, float]:
        """The decision's numbers as metrics of a run."""
        names = ("challenger_score", "opponent_score", "difference", "low", "high", "margin")
        return {f"gate_{name}": getattr(self, name) for name in names if getattr(self, name) is not None}


class _IncomparableError(Exception):
    """The champion cannot answer the held-out rows, so that nobody can say who is better."""


def judge(
    answers: Answers, rows: HeldOut, terms: Terms, *, registry: Registry, champion: ModelVersion | None
) -> Decision:
    """Compare a new model with the champion, or with a dummy where no champion can serve.

    Against a champion the lower end of the interval must be above the margin; a first model must be better than
    answering the most frequent class. A champion that this release cannot load holds nothing up. One that takes other
    columns or knows none of the classes solves another problem: then only `force` replaces it.

    Args:
        answers: What the new model says of the held-out rows.
        rows: The held-out rows.
        terms: What it has to do.
        registry: Where the champion is.
        champion: The version to beat, if any.

    Raises:
        RegistryUnavailableError: The champion cannot be fetched.
    """
    opponent, note = MOST_FREQUENT, ""
    theirs = _dummy(rows)
    truth = rows.target.to_numpy()
    if champion is not None:
        label = f"version {champion.version}, the champion"
        try:
            theirs, note = _champion(champion, rows, registry)
            opponent = label
        except ModelRefusedError as error:
            note = f"{label}, cannot serve here: {error.detail}"
        except _IncomparableError as error:
            ours = weighted(terms.metric, answers, truth)(np.ones(len(truth)))
            return _forced(
                Decision(
                    verdict=FAILED,
                    metric=terms.metric,
                    margin=terms.margin,
                    opponent=label,
                    challenger_score=ours,
                    reason=f"{terms.metric} is {ours:.4f}; {label}, {error}, so the two cannot be compared. "
                    "--force replaces it.",
                ),
                terms,
            )
    return _forced(_compared(answers, theirs, truth, terms, opponent=opponent, note=note), terms)


def _compared(ours: Answers, theirs: Answers, truth: np.ndarray, terms: Terms, *, opponent: str, note: str) -> Decision:
    mine, other = (weighted(terms.metric, answers, truth) for answers in (ours, theirs))
    sign = -1 if terms.metric in LOSSES else 1
    whole = np.ones(len(truth))
    score, other_score = mine(whole), other(whole)
    difference = sign * (score - other_score)
    draws = [sign * (mine(weights) - other(weights)) for weights in _draws(truth)]
    low, high = (float(end) for end in np.percentile(draws, PERCENTILES))
    passed = difference > 0 if opponent == MOST_FREQUENT else low > terms.margin
    reason = (
        f"{terms.metric} is {score:.4f} on {len(truth)} held-out rows, against {other_score:.4f} of {opponent}: "
        f"difference {difference:+.4f}, 95% interval {low:+.4f} to {high:+.4f}, which "
        + ("passes" if passed else "does not pass")
        + (" above 0." if opponent == MOST_FREQUENT else f" a margin of {terms.margin:g}.")
        + (f" Note: {note}." if note else "")
    )
    return Decision(
        verdict=PASSED if passed else FAILED,
        metric=terms.metric,
        margin=terms.margin,
        opponent=opponent,
        challenger_score=score,
        opponent_score=other_score,
        difference=difference,
        low=low,
        high=high,
        reason=reason,
    )


def _draws(truth: np.ndarray) -> Iterator[np.ndarray]:
    """How often each row is drawn, shape (rows,), resample by resample: the same in every run."""
    generator = np.random.default_rng(0)
    groups = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    for _ in range(DRAWS):
        weights = np.empty(len(truth))
        for rows in groups:
            weights[rows] = np.bincount(generator.integers(len(rows), size=len(rows)), minlength=len(rows))
        yield weights


def _dummy(rows: HeldOut) -> Answers:
    shares = dict(sorted(rows.shares.items()))
    classes = np.array(list(shares), dtype=rows.target.dtype)
    return Answers(classes=classes, probabilities=np.tile(list(shares.values()), (len(rows.target), 1)))


def _champion(champion: ModelVersion, rows: HeldOut, registry: Registry) -> tuple[Answers, str]:
    """What the champion says of the rows, and what to know about it.

    Raises:
        ModelRefusedError: It must not be loaded.
        _IncomparableError: It cannot answer these rows.
    """
    stored = registry.fetch(champion)
    predictor = compile_model(stored, label=f"{champion.name} version {champion.version}")
    wanted = stored.columns.names
    missing = [name for name in wanted if name not in rows.features.columns]
    if missing:
        listed = ", ".join(map(repr, missing[:NAMES_SHOWN])) + (", ..." if len(missing) > NAMES_SHOWN else "")
        raise _IncomparableError(f"takes columns that these rows do not have ({listed})")
    _, probabilities = predictor.predict(rows.features[wanted].to_numpy())
    if probabilities is None:
        raise _IncomparableError("gives no probabilities")
    if set(predictor.classes).isdisjoint(rows.target):
        raise _IncomparableError("knows none of these rows' classes")
    held_out_alike = registry.tags(champion).get(HELD_OUT_TAG) == rows.how
    note = "" if held_out_alike else "it may have been trained on some of these rows, which flatters it"
    return Answers(classes=np.array(predictor.classes, dtype=rows.target.dtype), probabilities=probabilities), note


def _forced(decision: Decision, terms: Terms) -> Decision:
    if not terms.force or decision.verdict == PASSED:
        return decision
    return replace(decision, verdict=PASSED, reason=f"{decision.reason} It passes by --force.")
