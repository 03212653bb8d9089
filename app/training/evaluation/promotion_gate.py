"""The promotion gate: the decision whether a newly trained model replaces the champion.

Both models predict the same held-out rows. A paired bootstrap, stratified by class, gives a confidence interval for the
difference of their scores. `app.training.registration` records the decision and moves the alias.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
from mlflow.entities.model_registry import ModelVersion

from app.errors import ModelRefusedError
from app.models.frames import to_rows
from app.models.predictor import compile_model
from app.models.registry import HELD_OUT_TAG, Registry
from app.models.version_choice import FAILED, FORCED, PASSED
from app.training.data.dataset import Rows
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.scores import score, weighted_metric

RESAMPLES: Final = 1000
"""Number of bootstrap resamples of the held-out rows."""

INTERVAL_PERCENTILES: Final = (2.5, 97.5)
"""Percentiles of the differences that bound the confidence interval."""

COLUMNS_SHOWN: Final = 5
"""Maximum number of columns that a message lists."""


@dataclass(frozen=True, kw_only=True)
class HeldOutRows:
    """The held-out rows on which the models are compared."""

    rows: Rows
    baseline: Baseline
    """What a model must be better than if there is no champion to compare with."""
    split_description: str
    """Test size and seed of the split. A model with the same description was not trained on these rows."""


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """What a model must achieve to pass."""

    metric: str
    margin: float
    """The lower end of the confidence interval must be above this, in units of the metric."""
    force: bool
    """Whether the model is promoted even if it loses the comparison. The verdict is `forced` then."""


@dataclass(frozen=True, kw_only=True)
class GateDecision:
    """The decision of the gate. A score is None if the models could not be compared."""

    verdict: str
    """`passed`, `failed`, or `forced` if only `force` promotes the model."""
    metric: str
    margin: float
    opponent: str
    challenger_score: float
    opponent_score: float | None = None
    difference: float | None = None
    """How much better the new model is; positive is better, also for a loss."""
    low: float | None = None
    """Lower end of the confidence interval of the difference."""
    high: float | None = None
    """Upper end of the confidence interval of the difference."""
    reason: str = ""
    """Explanation for the user, in one or more sentences."""

    @property
    def allows_promotion(self) -> bool:
        """Whether the model may become the champion."""
        return self.verdict != FAILED

    def tags(self) -> dict[str, str]:
        """The decision as tags of a run and of a model version."""
        return {f"gate.{name}": str(value) for name, value in asdict(self).items() if value is not None}

    def metrics(self) -> dict[str, float]:
        """The numbers of the decision as metrics of a run."""
        names = ("challenger_score", "opponent_score", "difference", "low", "high", "margin")
        return {f"gate_{name}": getattr(self, name) for name in names if getattr(self, name) is not None}


class _NotComparableError(Exception):
    """The champion cannot predict the held-out rows; the message completes "the champion, ..."."""


def judge(
    predicted: Predictions,
    held_out: HeldOutRows,
    config: GateConfig,
    *,
    registry: Registry,
    champion: ModelVersion | None,
) -> GateDecision:
    """Compare a new model with the champion.

    - With a champion, the lower end of the confidence interval must be above the margin.
    - Without a champion, or if this release cannot load the champion, the model must be better than answering the most
      frequent class.
    - A champion that needs other columns, has no class in common or gives no probabilities solves another problem. The
      model then needs `force`.

    Args:
        predicted: The new model's predictions for the held-out rows.
        held_out: The held-out rows.
        config: What the new model must achieve.
        registry: Where the champion is stored.
        champion: The version to compare with, if any.

    Raises:
        RegistryUnavailableError: The champion cannot be downloaded.
    """
    if champion is None:
        decision = _compare_with_baseline(predicted, held_out, config, note="")
        return _apply_force(decision, config)
    champion_name = f"version {champion.version}, the champion"
    try:
        champion_predicted, note = _predict_with_champion(champion, held_out, registry)
        decision = _compare(predicted, champion_predicted, held_out, config, opponent=champion_name, note=note)
    except ModelRefusedError as error:
        note = f"{champion_name}, cannot serve here: {error.detail}"
        decision = _compare_with_baseline(predicted, held_out, config, note=note)
    except _NotComparableError as error:
        own_score = score(config.metric, predicted, held_out.rows.target.to_numpy())
        decision = GateDecision(
            verdict=FAILED,
            metric=config.metric,
            margin=config.margin,
            opponent=champion_name,
            challenger_score=own_score,
            reason=f"{config.metric} is {own_score:.4f}; {champion_name}, {error}, so the two cannot be compared. "
            "--force replaces it.",
        )
    return _apply_force(decision, config)


def _compare_with_baseline(
    challenger: Predictions, held_out: HeldOutRows, config: GateConfig, *, note: str
) -> GateDecision:
    baseline = held_out.baseline
    return _compare(
        challenger, baseline.predict(held_out.rows), held_out, config, opponent=baseline.description, note=note
    )


def _compare(
    challenger: Predictions,
    opponent_predicted: Predictions,
    held_out: HeldOutRows,
    config: GateConfig,
    *,
    opponent: str,
    note: str,
) -> GateDecision:
    truth = held_out.rows.target.to_numpy()
    challenger_metric = weighted_metric(config.metric, challenger, truth)
    opponent_metric = weighted_metric(config.metric, opponent_predicted, truth)
    sign = find_metric(config.metric).sign
    equal_weights = np.ones(len(truth))
    score, opponent_score = challenger_metric(equal_weights), opponent_metric(equal_weights)
    difference = sign * (score - opponent_score)
    resampled = [
        sign * (challenger_metric(weights) - opponent_metric(weights)) for weights in _bootstrap_weights(truth)
    ]
    low, high = (float(bound) for bound in np.percentile(resampled, INTERVAL_PERCENTILES))
    has_passed = difference > 0 if opponent == held_out.baseline.description else low > config.margin
    reason = (
        f"{config.metric} is {score:.4f} on {len(truth)} held-out rows, against {opponent_score:.4f} of {opponent}: "
        f"difference {difference:+.4f}, 95% interval {low:+.4f} to {high:+.4f}, which "
        + ("passes" if has_passed else "does not pass")
        + (" above 0." if opponent == held_out.baseline.description else f" a margin of {config.margin:g}.")
        + (f" Note: {note}." if note else "")
    )
    return GateDecision(
        verdict=PASSED if has_passed else FAILED,
        metric=config.metric,
        margin=config.margin,
        opponent=opponent,
        challenger_score=score,
        opponent_score=opponent_score,
        difference=difference,
        low=low,
        high=high,
        reason=reason,
    )


def _bootstrap_weights(truth: np.ndarray) -> Iterator[np.ndarray]:
    """Draw the rows of each class with replacement.

    Yields:
        For each resample, how often each row is drawn; shape (rows,). Every run yields the same weights.
    """
    generator = np.random.default_rng(0)
    rows_by_class = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    for _ in range(RESAMPLES):
        weights = np.empty(len(truth))
        for rows in rows_by_class:
            weights[rows] = np.bincount(generator.integers(len(rows), size=len(rows)), minlength=len(rows))
        yield weights


def _predict_with_champion(
    champion: ModelVersion, held_out: HeldOutRows, registry: Registry
) -> tuple[Predictions, str]:
    """Predict the held-out rows with the champion.

    Returns:
        The predictions, and a note for the reason of the decision.

    Raises:
        ModelRefusedError: This release cannot load the champion.
        _NotComparableError: The champion cannot predict these rows.
    """
    artifact = registry.fetch(champion)
    predictor = compile_model(artifact, label=f"{champion.name} version {champion.version}")
    columns = artifact.columns.names
    missing = [name for name in columns if name not in held_out.rows.features.columns]
    if missing:
        column_list = ", ".join(map(repr, missing[:COLUMNS_SHOWN])) + (", ..." if len(missing) > COLUMNS_SHOWN else "")
        raise _NotComparableError(f"takes columns that these rows do not have ({column_list})")
    answers = predictor.predict(to_rows(held_out.rows.features, artifact.columns))
    if answers.probabilities is None:
        raise _NotComparableError("gives no probabilities")
    if set(predictor.classes).isdisjoint(held_out.rows.target):
        raise _NotComparableError("knows none of these rows' classes")
    has_same_split = registry.tags(champion).get(HELD_OUT_TAG) == held_out.split_description
    note = "" if has_same_split else "it may have been trained on some of these rows, so its score may be too high"
    classes = np.array(predictor.classes, dtype=held_out.rows.target.dtype)
    predictions = answers.predictions.astype(held_out.rows.target.dtype)
    return Predictions(answers=predictions, probabilities=answers.probabilities, classes=classes), note


def _apply_force(decision: GateDecision, config: GateConfig) -> GateDecision:
    if not config.force or decision.verdict == PASSED:
        return decision
    return replace(decision, verdict=FORCED, reason=f"{decision.reason} --force promotes it.")
