"""The last judgement of drift about the default model, for `GET /model/drift` and for the page."""

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


class DriftStatus(Message):
    """The last judgement of drift about the default model."""

    judgement: DriftJudgement | None
    """The judgement; null without a judgement in the last 7 days."""
    timestamp: datetime


def describe(runs: Sequence[DriftRun], model: str) -> DriftStatus:
    """Build the message from the newest judgement of each version, newest first."""
    judgements = [_judgement(run) for run in runs if run.model == model]
    return DriftStatus(judgement=judgements[0] if judgements else None, timestamp=schemas.now())


def _judgement(run: DriftRun) -> DriftJudgement:
    metrics = run.metrics
    return DriftJudgement(
        version=run.version,
        verdict=run.verdict,
        judged=datetime.fromtimestamp(run.judged_ms / 1000, UTC),
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
