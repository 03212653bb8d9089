"""Scores a registered version on rows, and compares it with the champion: `manta evaluate`."""

from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion

from app.errors import DataError, ModelNotFoundError, ModelRefusedError, ParameterError
from app.models.registry import Registry
from app.models.version_choice import METRIC_TAG
from app.settings import Settings
from app.training.data.dataset import Rows
from app.training.data.targets import task_of
from app.training.evaluation.bootstrap import Resampling
from app.training.evaluation.champion import NotComparableError, predict_with_champion
from app.training.evaluation.classification_scores import Score
from app.training.evaluation.intervals import Interval, measure, measure_improvement
from app.training.evaluation.metrics import choose_metric, find_metric
from app.training.evaluation.scores import check_target, weighted_metric
from app.training.named_data import read_data


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The score of a version on rows."""

    model: str
    version: str
    data: str
    """The rows, as `--data` names them."""
    rows: int
    metric: str
    score: Interval
    champion: str | None
    """Number of the champion; None if the version is the champion, or without a champion."""
    champion_score: Interval | None
    """Score of the champion on the same rows; None if it cannot be compared."""
    improvement: Interval | None
    """How much better the version is than the champion, by a paired bootstrap. A negative number: worse."""
    note: str
    """Why the champion cannot be compared; empty otherwise."""


def evaluate(
    version: str, settings: Settings, *, data: str, target: str | None = None, metric: str | None = None
) -> Evaluation:
    """Score a version and the champion on the same rows.

    Args:
        version: Number of the version.
        settings: MLflow, the registered model, and where the prediction log is.
        data: The rows; see `--data` of `manta train`.
        target: Column with the true values; None is possible for the prediction log.
        metric: Name of the metric; None for the metric of the version's gate, or else the default of the task.

    Raises:
        ModelNotFoundError: There is no such version.
        ModelRefusedError: This release cannot load the version.
        DataError: The rows cannot be read, or the version cannot predict them.
        ParameterError: The metric does not fit the version.
        LogOffError, PlatformError: The prediction log cannot be read.
        RegistryUnavailableError: MLflow does not answer.
    """
    registry, name = Registry(settings), settings.model_name
    evaluated, champion = registry.find(name, version=version), registry.champion(name)
    rows = read_data(data, settings, target=target).rows
    metric = _choose_metric(evaluated, rows, metric)
    check_target(metric, rows.target.to_numpy())
    resampling = Resampling.of(rows, find_metric(metric))
    try:
        score = _prepare_score(evaluated, rows, metric, registry, settings)
    except NotComparableError as error:
        raise DataError(
            f"{name} version {version} cannot be scored on {data}: it {error.fault}.",
            next_step="Give rows with the columns and the target that the version was trained on.",
        ) from error
    opponent, champion_score, note = None, None, ""
    if champion is not None and str(champion.version) != str(evaluated.version):
        opponent = str(champion.version)
        try:
            champion_score = _prepare_score(champion, rows, metric, registry, settings)
        except NotComparableError as error:
            note = f"The champion cannot be compared: it {error.fault}."
        except (ModelNotFoundError, ModelRefusedError, ParameterError) as error:
            note = f"The champion cannot be compared: {error.detail}"
    return Evaluation(
        model=name,
        version=str(evaluated.version),
        data=data,
        rows=len(rows),
        metric=metric,
        score=measure(score, resampling),
        champion=opponent,
        champion_score=None if champion_score is None else measure(champion_score, resampling),
        improvement=None
        if champion_score is None
        else measure_improvement(score, champion_score, find_metric(metric), resampling),
        note=note,
    )


def _choose_metric(version: ModelVersion, rows: Rows, name: str | None) -> str:
    """Return the metric of `--metric`, of the version's gate, or of the task.

    Raises:
        ParameterError: The metric is of another task than the metric of the version's gate.
    """
    of_gate = version.tags.get(METRIC_TAG)
    task = task_of(rows.target) if of_gate is None else find_metric(of_gate).task
    return of_gate if name is None and of_gate is not None else choose_metric(name, task)


def _prepare_score(version: ModelVersion, rows: Rows, metric: str, registry: Registry, settings: Settings) -> Score:
    predicted = predict_with_champion(version, rows, find_metric(metric), registry, shows_values=settings.show_examples)
    return weighted_metric(metric, predicted, rows.target.to_numpy())
