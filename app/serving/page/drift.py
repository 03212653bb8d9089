"""The last judgement of drift and the last decision about retraining, for `GET /model/drift` and for the page."""

from collections.abc import Sequence
from datetime import UTC, datetime

from app.records.drift_runs import ESTIMATED_SCORE, REALISED_SCORE, DriftRun
from app.serving import schemas
from app.serving.schemas import Message


class DriftScore(Message):
    """A score in the judged period."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    before: float
    """The score on the held-out rows of the training."""


class DriftJudgement(Message):
    """A judgement of drift about a version."""

    version: str
    """Number of the judged version. It may no longer serve."""
    verdict: str
    """`drift`, `no drift` or `not enough rows`."""
    judged: datetime
    rows: int | None
    """Rows in the period; null if the rows were not enough."""
    columns_changed: int | None
    """Columns whose distribution changed; null if the rows were not enough."""
    estimated_score: DriftScore | None
    """Accuracy, estimated without labels; null without an estimate."""
    realised_score: DriftScore | None
    """Metric of the gate on the rows with labels; null without enough labels."""
    run_id: str
    """Id of the run in MLflow that holds the report."""
    experiment_id: str


class DriftDecision(Message):
    """What the schedule of judgements decided about retraining."""

    version: str
    """Number of the version that was the champion."""
    judged: datetime
    """When the judgement that was decided about began."""
    begins: bool
    """Whether a training begins."""
    decision: str
    """The decision with its reason."""
    run_id: str
    """Id of the run in MLflow that holds the judgement. The tag `retrain.judgement` of the training names it."""


class DriftStatus(Message):
    """The last judgement of drift about the default model, and the last decision about retraining it."""

    judgement: DriftJudgement | None
    """The judgement; null without a judgement in the last 7 days."""
    retraining: DriftDecision | None
    """The decision; null without a decision in the last 7 days."""
    timestamp: datetime


def describe(runs: Sequence[DriftRun], model: str) -> DriftStatus:
    """Build the message from the newest judgement of each version, newest first."""
    judgements = [run for run in runs if run.model == model]
    decisions = [decision for run in judgements if (decision := _decision(run))]
    return DriftStatus(
        judgement=_judgement(judgements[0]) if judgements else None,
        retraining=max(decisions, key=lambda decision: decision.judged, default=None),
        timestamp=schemas.now(),
    )


def _decision(run: DriftRun) -> DriftDecision | None:
    if run.decision is None:
        return None
    return DriftDecision(
        version=run.version,
        judged=_time(run.decision.judged_ms),
        begins=run.decision.begins,
        decision=run.decision.text,
        run_id=run.decision.run_id,
    )


def _judgement(run: DriftRun) -> DriftJudgement:
    metrics = run.metrics
    return DriftJudgement(
        version=run.version,
        verdict=run.verdict,
        judged=_time(run.judged_ms),
        rows=int(metrics["rows"]) if "rows" in metrics else None,
        columns_changed=int(metrics["columns_changed"]) if "columns_changed" in metrics else None,
        estimated_score=_score(metrics, ESTIMATED_SCORE),
        realised_score=_score(metrics, REALISED_SCORE),
        run_id=run.run_id,
        experiment_id=run.experiment_id,
    )


def _score(metrics: dict[str, float], name: str) -> DriftScore | None:
    parts = {"value": name, "low": f"{name}_low", "high": f"{name}_high", "before": f"{name}_before"}
    if not metrics.keys() >= set(parts.values()):
        return None
    return DriftScore(**{part: metrics[metric] for part, metric in parts.items()})


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
