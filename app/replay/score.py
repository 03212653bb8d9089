"""The score of a version on the replayed rows that have a label, beside the score of what was answered then."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from app.errors import DataError
from app.models.answers import Answers
from app.models.predictor import Predictor
from app.models.version_choice import METRIC_TAG
from app.replay.requests import LoggedRequest
from app.serving.shadow.comparison import answers_classes
from app.training.data.dataset import Rows, Task
from app.training.data.targets import normalize_target
from app.training.evaluation.bootstrap import Resampling
from app.training.evaluation.champion import as_predictions, check_task
from app.training.evaluation.intervals import Interval, measure, measure_improvement
from app.training.evaluation.metrics import DEFAULT_METRICS, find_metric
from app.training.evaluation.scores import weighted_metric


@dataclass(frozen=True, kw_only=True)
class ReplayScore:
    """Two scores on the same rows."""

    metric: str
    rows: int
    """Replayed rows with a label."""
    score: Interval
    """Score of the version."""
    answered: Interval
    """Score of what was answered then."""
    improvement: Interval
    """How much better the version is, by a paired bootstrap. A negative number: worse."""


def compare_scores(
    version: ModelVersion, predictor: Predictor, replayed: Sequence[tuple[LoggedRequest, Answers]]
) -> ReplayScore | None:
    """Compare the scores of the labelled rows; None without a labelled row.

    Args:
        version: The version. The metric is that of its gate, else the default of its task.
        predictor: The version, compiled.
        replayed: The requests, and what the version answered to each of them.

    Raises:
        NotComparableError, DataError, ParameterError: The labels, or the answers, cannot be judged by the metric.
    """
    labels = [label for request, _ in replayed for label in request.labels if label is not None]
    if not labels:
        return None
    target = normalize_target(pd.Series(labels, dtype=object, name="label"), source="The prediction log")
    rows = Rows(features=pd.DataFrame(index=target.index), target=target)
    task: Task = "classification" if answers_classes(predictor) else "regression"
    metric = find_metric(version.tags.get(METRIC_TAG) or DEFAULT_METRICS[task])
    check_task(predictor, rows, metric)
    masks = [np.array([label is not None for label in request.labels]) for request, _ in replayed]
    then = _join([request.answers.take(mask) for (request, _), mask in zip(replayed, masks, strict=True)])
    again = _join([answers.take(mask) for (_, answers), mask in zip(replayed, masks, strict=True)])
    if metric.needs_probabilities and then.probabilities is None:
        raise DataError(f"What was answered then lacks the probabilities of the classes, which {metric.name} needs.")
    try:
        score, answered = (
            weighted_metric(metric.name, as_predictions(answers, predictor.classes, rows, metric), target.to_numpy())
            for answers in (again, then)
        )
    except (TypeError, ValueError) as error:
        raise DataError("The answers and the labels are of several types.") from error
    resampling = Resampling.of(rows, metric)
    return ReplayScore(
        metric=metric.name,
        rows=len(rows),
        score=measure(score, resampling),
        answered=measure(answered, resampling),
        improvement=measure_improvement(score, answered, metric, resampling),
    )


def _join(parts: Sequence[Answers]) -> Answers:
    """Join the answers to several requests. If one part has no probabilities, the result has none."""
    predictions = [part.predictions for part in parts]
    if not all(array.dtype.kind in "fiub" for array in predictions):
        # The classes of the versions that answered may be of several types.
        predictions = [array.astype(object) for array in predictions]
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    return Answers(
        predictions=np.concatenate(predictions),
        probabilities=np.concatenate(probabilities) if len(probabilities) == len(parts) else None,
    )
