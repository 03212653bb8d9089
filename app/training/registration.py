"""Registering a fitted model: metrics, plots, the gate's decision, a model version, and the alias `champion`.

`app.training.job` fits the model. `app.training.evaluation.promotion_gate` decides whether it is good enough. If
MLflow does not answer, the model is saved in a folder; `python -m app.training.registration FOLDER` registers it
later.
"""

import json
import logging
import shlex
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import mlflow
import typer

from app import names
from app.command import run_command, single_command_app
from app.errors import ModelNotFoundError
from app.models import artifact
from app.models.registry import HELD_OUT_TAG, Registry
from app.models.rollout_records import RolloutRecords
from app.models.version_choice import GATE_TAG, PASSED, PROMOTE_TAG
from app.records import reference as reference_files
from app.settings import Settings, settings
from app.training import reference, run_tags
from app.training.evaluation import report
from app.training.evaluation.gate_decision import GateDecision
from app.training.evaluation.predictions import Predictions, predict
from app.training.evaluation.promotion_gate import judge
from app.training.fitted_model import FittedModel, restore, save
from app.training.models.fingerprint import model_fingerprint

log = logging.getLogger("manta.train")

EXAMPLE_ROWS: Final = 5
"""Held-out rows that are stored with the model, with their labels, and checked at each load."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The result of a training run. The last line of the job's output is this as JSON, with these names."""

    run_id: str
    model_name: str
    version: str
    gate: str
    """`passed`, `failed`, or `forced` if only `--force` promoted the version."""
    reason: str
    """Explanation of the gate's decision."""
    promoted: bool
    """Whether the version is now the champion."""
    rollout: bool
    """Whether the service begins a rollout of the version."""
    metrics: dict[str, float]
    """Metrics on the held-out rows."""
    fingerprint: str
    """Fingerprint of the model: equal data, parameters and seed give an equal fingerprint."""
    fit_s: float


def register(fitted: FittedModel, registry: Registry, settings: Settings, *, run_id: str) -> TrainingResult:
    """Evaluate a model, log it in the active run, and register it.

    A version that passes the gate becomes the champion. With the setting `rollout: auto`, the version begins a rollout
    instead, unless there is no champion yet or only `--force` lets the version pass.

    Args:
        fitted: The fitted model.
        registry: Where the model is registered.
        settings: The registered model, and what happens to a version that passes the gate.
        run_id: Id of the active run.

    Raises:
        RegistryUnavailableError: MLflow does not answer; what was logged before stays in MLflow.
    """
    model, rows, model_name = fitted.model, fitted.held_out.rows, settings.model_name
    predicted = predict(model, rows.features)
    metrics = report.compute_metrics(predicted, rows, fitted.gate.metric)
    mlflow.log_params(fitted.params)
    mlflow.log_metrics(metrics | {"fit_s": fitted.fit_s})
    for file_name, figure in report.draw_plots(predicted, rows, fitted.gate.metric):
        mlflow.log_figure(figure, file_name)
    fingerprint = model_fingerprint(model)
    model_uri = artifact.log(
        model, example=rows.features.head(EXAMPLE_ROWS), labels=rows.target.head(EXAMPLE_ROWS), name=model_name
    )
    reference_tags = {}
    if fitted.sample is not None:
        built = reference.build(fitted.sample, model, predicted, rows, fitted.gate)
        reference_tags[reference_files.REFERENCE_TAG] = reference_files.log(built)
    decision = _judge_against_current_champion(fitted, predicted, registry, settings)
    tags = {GATE_TAG: decision.verdict, run_tags.MODEL_FINGERPRINT: fingerprint} | decision.tags()
    mlflow.log_metrics(decision.metrics())
    mlflow.set_tags(tags)
    begins_rollout = (
        fitted.promote
        and settings.rollout == "auto"
        and decision.verdict == PASSED
        and registry.champion(model_name) is not None
    )
    version = registry.register(
        model_name,
        model_uri=model_uri,
        description=f"{fitted.description} on {fitted.dataset}: "
        f"{fitted.gate.metric} {decision.challenger_score:.4f} on {len(rows)} held-out rows.",
        tags=tags
        | reference_tags
        | {
            run_tags.DATA_FINGERPRINT: fitted.tags[run_tags.DATA_FINGERPRINT],
            HELD_OUT_TAG: fitted.held_out.split_description,
            PROMOTE_TAG: str(fitted.promote and not begins_rollout).lower(),
        },
    )
    is_promoted = fitted.promote and decision.allows_promotion and not begins_rollout
    if begins_rollout:
        # The service begins a rollout of the version that this alias names.
        RolloutRecords(registry.uri, model_name).set_alias(names.CHALLENGER, str(version.version))
    elif is_promoted:
        registry.promote(version)
        registry.record_promotion(version)
    log.info(
        "gate %s: %s Version %s is %s.",
        decision.verdict,
        decision.reason,
        version.version,
        "the champion now"
        if is_promoted
        else "the challenger now, and its rollout begins"
        if begins_rollout
        else "registered, and the champion stays as it is",
    )
    return TrainingResult(
        run_id=run_id,
        model_name=model_name,
        version=str(version.version),
        gate=decision.verdict,
        reason=decision.reason,
        promoted=is_promoted,
        rollout=begins_rollout,
        metrics=metrics,
        fingerprint=fingerprint,
        fit_s=round(fitted.fit_s, 3),
    )


def save_for_later(fitted: FittedModel, *, run_id: str, settings: Settings) -> str:
    """Save a model in a new folder.

    Returns:
        The next step of the error: where the model is and the command that registers it, or why it is not saved.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="manta-model-"))
        save(fitted, run_id=run_id, folder=folder)
    except OSError as error:
        return f"The model cannot be saved for later: {error}. Correct this, and train again."
    command = [
        f"MLFLOW_TRACKING_URI={settings.mlflow_tracking_uri}",
        f"MANTA_MODEL_NAME={settings.model_name}",
        f"MANTA_ROLLOUT={settings.rollout}",
        sys.executable,
        "-m",
        "app.training.registration",
        str(folder),
    ]
    return f"The model is saved in {folder}. Once MLflow answers, register it on this machine: {shlex.join(command)}"


def register_saved(folder: Path, settings: Settings) -> TrainingResult:
    """Register a saved model in its run, or in a new run if MLflow no longer has that run.

    Raises:
        DataError: The folder does not contain a saved model.
        RegistryUnavailableError: MLflow does not answer.
    """
    fitted, run_id = restore(folder)
    try:
        return _register_in_run(fitted, settings, run_id=run_id)
    except ModelNotFoundError:
        return _register_in_run(fitted, settings, run_id=None)


def _register_in_run(fitted: FittedModel, settings: Settings, *, run_id: str | None) -> TrainingResult:
    registry = Registry(settings)
    with registry.run(settings.experiment, tags=fitted.tags, run_id=run_id) as active_run_id:
        return register(fitted, registry, settings, run_id=active_run_id)


def _judge_against_current_champion(
    fitted: FittedModel, predicted: Predictions, registry: Registry, settings: Settings
) -> GateDecision:
    """Judge a model, and judge it again if another version became the champion meanwhile."""
    champion = registry.champion(settings.model_name)
    while True:
        decision = judge(
            predicted,
            fitted.held_out,
            fitted.gate,
            registry=registry,
            champion=champion,
            shows_values=settings.show_examples,
        )
        current = registry.champion(settings.model_name)
        if (current and current.version) == (champion and champion.version):
            return decision
        champion = current


def configure_logging() -> None:
    """Log the steps of a training run, and only warnings of other libraries."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    logging.getLogger("mlflow").setLevel(logging.WARNING)


def print_result(result: TrainingResult) -> None:
    """Print a result as JSON, as the last line of the output."""
    print(json.dumps(asdict(result)), flush=True)  # noqa: T201 - the job's output


def main(folder: Annotated[Path, typer.Argument(help="Folder that the training job printed.")]) -> None:
    """Register a model that was saved because MLflow did not answer."""
    configure_logging()
    print_result(register_saved(folder, settings()))


if __name__ == "__main__":
    run_command(single_command_app(main))
