"""Judges the predictions of a version in a period by the log, and stores the judgement as a run of MLflow."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import mlflow

from app.drift import report
from app.drift.judge import Judgement, judge
from app.errors import ModelNotFoundError
from app.models.registry import Registry
from app.records import drift_runs, reference, scheduled_judgements
from app.records.log_reader import read_window
from app.records.open_store import require_store
from app.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DriftResult:
    """The judgement about a version in a period."""

    model: str
    version: str
    since: datetime
    run_id: str
    judgement: Judgement


def run(settings: Settings, *, version: str | None, period: timedelta, is_scheduled: bool = False) -> DriftResult:
    """Judge a version.

    Args:
        settings: MLflow, the registered model, and where the prediction log is.
        version: Number of the version; None for the champion.
        period: How far back the window begins.
        is_scheduled: Whether a schedule started the judgement; only these judgements can begin a retraining.

    Raises:
        LogOffError: There is no prediction log.
        ModelNotFoundError: There is no such version, or no champion.
        DataError: The version has no reference.
        PlatformError: The log cannot be read.
        RegistryUnavailableError: MLflow does not answer.
    """
    store = require_store(settings, purpose="judge")
    registry, name = Registry(settings), settings.model_name
    model_version = registry.find(name, version=version) if version is not None else registry.champion(name)
    if model_version is None:
        raise ModelNotFoundError(f"{name!r} has no champion.", next_step="Name a version: --version NUMBER.")
    number, since = str(model_version.version), datetime.now(UTC) - period
    version_reference = reference.fetch(model_version, uri=registry.uri)
    window = read_window(store, model=name, version=number, since=since)
    judgement = judge(version_reference, window.predictions, window.labels)
    if window.other_versions:
        others = ", ".join(f"version {other}: {rows}" for other, rows in sorted(window.other_versions.items()))
        judgement.notes.append(f"Rows of other versions are not judged ({others}).")
    if window.unknown_labels:
        judgement.notes.append(f"{window.unknown_labels} labels belong to none of the judged rows.")
    if window.logged_rows > window.predictions.num_rows:
        judgement.notes.append(f"{judgement.rows} of {window.logged_rows} rows were judged.")
    title = f"{name} version {number} since {since:%Y-%m-%d %H:%M} UTC"
    tags = {drift_runs.MODEL_TAG: name, drift_runs.VERSION_TAG: number, drift_runs.VERDICT_TAG: judgement.verdict}
    if is_scheduled:
        tags[scheduled_judgements.SCHEDULED_TAG] = "true"
    with registry.run(settings.experiment + drift_runs.EXPERIMENT_SUFFIX, tags=tags) as run_id:
        mlflow.log_metrics(report.metrics(judgement))
        mlflow.log_text(report.page(judgement, title=title), "report.html")
        mlflow.log_text(json.dumps(judgement.to_json(), indent=1), "report.json")
    return DriftResult(model=name, version=number, since=since, run_id=run_id, judgement=judgement)
