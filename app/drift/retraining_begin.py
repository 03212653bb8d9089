"""Begins the retraining of a champion: asks MLflow, decides, and records the decision in the run of the judgement.

`app.drift.retraining` has the rules. The submitter of the judging job submits the training; see `app.drift.hand_over`.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Literal

from app import names
from app.drift.hand_over import Retraining
from app.drift.job import DriftResult
from app.drift.repeated_options import NotRepeatableError, repeated_options, with_log
from app.drift.retraining import JUDGEMENTS, NEVER, Alarm, Decision, decide, refuse
from app.errors import ModelNotFoundError
from app.models.registry import HELD_OUT_TAG, Registry
from app.records.scheduled_judgements import ScheduledJudgements
from app.settings import Settings
from app.training.options import TrainOptions

BUSY: Final = "the retraining of another model begins first; next possible at the next judgement."


def begin_if_due(
    alarm: Alarm | Literal["never"], result: DriftResult, settings: Settings, registry: Registry, *, is_busy: bool
) -> tuple[Decision, Retraining | None]:
    """Decide about the retraining of a champion after its scheduled judgement, and record the decision in MLflow.

    Args:
        alarm: What begins a retraining; never: nothing does.
        result: The judgement.
        settings: MLflow, and the default model.
        registry: Where the champion is registered.
        is_busy: Whether the retraining of another model begins after this run of the schedule.

    Returns:
        The decision, and the training to submit if it begins.

    Raises:
        RegistryUnavailableError: MLflow does not answer. No retraining begins.
    """
    judgements = ScheduledJudgements(settings.model_copy(update={"model_name": result.model}))
    if alarm == "never":
        decision = refuse(NEVER)
        judgements.record(result.run_id, str(decision), began=None)
        return decision, None
    now = datetime.now(UTC)
    decision = decide(
        alarm,
        result.version,
        judgements.newest(JUDGEMENTS),
        last_retraining=judgements.last_retraining(),
        challenger=_challenger(registry, result.model),
        now=now,
    )
    retraining = None
    if decision.begins and is_busy:
        decision = refuse(BUSY)
    elif decision.begins:
        try:
            options, data = with_log(
                _options(judgements, result, settings),
                are_columns_left_out=bool(settings.prediction_log_columns),
                held_out=_held_out(registry, result),
            )
            retraining = Retraining(judgement=result.run_id, options=options)
            decision = replace(decision, reason=f"{decision.reason} {data}")
        except (ModelNotFoundError, NotRepeatableError) as error:
            decision = refuse(str(error))
    judgements.record(result.run_id, str(decision), began=now if decision.begins else None)
    return decision, retraining


def _challenger(registry: Registry, model: str) -> str | None:
    try:
        return str(registry.find(model, alias=names.CHALLENGER).version)
    except ModelNotFoundError:
        return None


def _held_out(registry: Registry, result: DriftResult) -> str:
    """Return the rule that held rows out of the champion's training; empty if its version has no such tag.

    Raises:
        ModelNotFoundError: The version was deleted.
    """
    return registry.tags(registry.find(result.model, version=result.version)).get(HELD_OUT_TAG, "")


def _options(judgements: ScheduledJudgements, result: DriftResult, settings: Settings) -> TrainOptions:
    """Return the options of the champion's training.

    Raises:
        ModelNotFoundError: The version or its run was deleted.
        NotRepeatableError: No job can repeat the training.
    """
    run = judgements.training_run(result.version)
    return repeated_options(
        run.info.run_id, run.data.tags, run.data.params, model=result.model, default_model=settings.model_name
    )
