"""The promotion gate: the decision whether a newly trained model replaces the champion.

Both models predict the same held-out rows. A paired bootstrap gives a confidence interval for the difference of their
scores. `app.training.registration` records the decision and moves the alias.
"""

from dataclasses import dataclass, replace

import numpy as np
from mlflow.entities.model_registry import ModelVersion

from app.errors import ModelRefusedError, ParameterError
from app.models.registry import HELD_OUT_TAG, Registry
from app.models.version_choice import FAILED, FORCED, PASSED
from app.training.data.split import was_held_out
from app.training.evaluation.bootstrap import Resampling
from app.training.evaluation.champion import NotComparableError, predict_with_champion
from app.training.evaluation.classification_scores import Score
from app.training.evaluation.gate_decision import GateConfig, GateDecision, HeldOutRows
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.scores import weighted_metric


@dataclass(frozen=True, kw_only=True)
class _Opponent:
    """What the new model is compared with."""

    name: str
    metric: Score
    is_champion: bool
    note: str = ""


def judge(
    predicted: Predictions,
    held_out: HeldOutRows,
    config: GateConfig,
    *,
    registry: Registry,
    champion: ModelVersion | None,
    shows_values: bool,
) -> GateDecision:
    """Compare a new model with the champion.

    - With a champion, the lower end of the confidence interval must be above the margin.
    - Without a champion, or if this release cannot load the champion, the model must be better than the baseline, which
      answers the same for every row.
    - A champion that cannot predict these rows, or predicts something else, solves another problem. The model then
      needs `force`.

    Args:
        predicted: The new model's predictions for the held-out rows.
        held_out: The held-out rows.
        config: What the new model must achieve.
        registry: Where the champion is stored.
        champion: The version to compare with, if any.
        shows_values: Whether the reason may name a value of a row.

    Raises:
        RegistryUnavailableError: The champion cannot be downloaded.
        ParameterError: The metric cannot judge the new model's predictions.
        DataError: The metric is not defined for the held-out rows.
    """
    challenger = weighted_metric(config.metric, predicted, held_out.rows.target.to_numpy())
    resampling = Resampling.of(held_out.rows, find_metric(config.metric))
    try:
        opponent = _choose_opponent(
            champion, held_out, config, registry, row_weights=resampling.row_weights, shows_values=shows_values
        )
        decision = _compare(challenger, opponent, resampling, config)
    except NotComparableError as error:
        score = challenger(resampling.row_weights)
        name = _champion_name(champion)
        decision = GateDecision(
            verdict=FAILED,
            metric=config.metric,
            margin=config.margin,
            opponent=name,
            challenger_score=score,
            reason=f"{config.metric} is {score:.4f}; {name}, {error.fault}, so the two cannot be compared. "
            f"{error.way_out} --force replaces the champion.",
        )
    if not config.force or decision.verdict == PASSED:
        return decision
    return replace(decision, verdict=FORCED, reason=f"{decision.reason} --force promotes it.")


def _choose_opponent(
    champion: ModelVersion | None,
    held_out: HeldOutRows,
    config: GateConfig,
    registry: Registry,
    *,
    row_weights: np.ndarray,
    shows_values: bool,
) -> _Opponent:
    """Return the champion, or the baseline if there is no champion that can be loaded.

    Raises:
        NotComparableError: The champion cannot be judged on these rows.
        RegistryUnavailableError: The champion cannot be downloaded.
    """
    rows, baseline, metric = held_out.rows, held_out.baseline, find_metric(config.metric)
    target = rows.target.to_numpy()
    baseline_metric = weighted_metric(config.metric, baseline.predict(rows), target)
    if champion is None:
        return _Opponent(name=baseline.description, metric=baseline_metric, is_champion=False)
    name = _champion_name(champion)
    try:
        champion_predicted = predict_with_champion(champion, rows, metric, registry, shows_values=shows_values)
        champion_metric = weighted_metric(config.metric, champion_predicted, target)
    except ModelRefusedError as error:
        note = f" Note: {name}, cannot serve here: {error.detail.removesuffix('.')}."
        return _Opponent(name=baseline.description, metric=baseline_metric, is_champion=False, note=note)
    except ParameterError as error:
        raise NotComparableError(f"cannot be scored ({error.detail.removesuffix('.')})", error.next_step) from error
    note = ""
    if not was_held_out(held_out.split_description, registry.tags(champion).get(HELD_OUT_TAG, "")):
        note = " Note: the champion may have been trained on some of these rows, so its score may be too high."
    if metric.sign * (champion_metric(row_weights) - baseline_metric(row_weights)) < 0:
        note += (
            f" Note: the champion is worse than {baseline.description}. If its target is another one, or has another "
            "unit, register the new model under another name (--name)."
        )
    return _Opponent(name=name, metric=champion_metric, is_champion=True, note=note)


def _compare(challenger: Score, opponent: _Opponent, resampling: Resampling, config: GateConfig) -> GateDecision:
    metric = find_metric(config.metric)
    score, opponent_score = challenger(resampling.row_weights), opponent.metric(resampling.row_weights)
    difference = metric.sign * (score - opponent_score)
    interval = resampling.interval(lambda weights: metric.sign * (challenger(weights) - opponent.metric(weights)))
    has_passed = (
        (interval is not None and interval[0] > config.margin) if opponent.is_champion else bool(difference > 0)
    )
    units = "" if resampling.unit_name == "rows" else f" in {resampling.unit_count} {resampling.unit_name}"
    return GateDecision(
        verdict=PASSED if has_passed else FAILED,
        metric=config.metric,
        margin=config.margin,
        opponent=opponent.name,
        challenger_score=score,
        opponent_score=opponent_score,
        difference=difference,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        reason=f"{config.metric} is {score:.4f} on {len(resampling.row_weights)} held-out rows{units}, against "
        f"{opponent_score:.4f} of {opponent.name}: difference {_signed(difference)}, {_describe(interval)}. "
        f"{_rule(config, opponent, has_passed=has_passed)}{opponent.note}",
    )


def _rule(config: GateConfig, opponent: _Opponent, *, has_passed: bool) -> str:
    if not opponent.is_champion:
        return f"It {'passes' if has_passed else 'does not pass'}: without a champion the difference must be above 0."
    if has_passed:
        return f"It passes: the lower end is above the margin of {config.margin:g}."
    return f"It does not pass: the lower end must be above the margin of {config.margin:g}."


def _describe(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "no interval, because the held-out rows are too few or all of one group"
    return f"95% interval {_signed(interval[0])} to {_signed(interval[1])}"


def _signed(value: float) -> str:
    """Format a difference; adding 0 turns -0 into 0."""
    return f"{round(value, 4) + 0.0:+.4f}"


def _champion_name(champion: ModelVersion | None) -> str:
    return "" if champion is None else f"version {champion.version}, the champion"
