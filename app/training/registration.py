"""A fitted forest brought into the registry: scores, plots, the gate's decision, a version, and perhaps the alias.

How it was fitted is decided in `app.training.job`, and what is good enough in
`app.training.evaluation.promotion_gate`. What cannot be registered because MLflow is gone is kept in a folder, from
which `python -m app.training.registration FOLDER` registers it later.
"""

import json
import logging
import shlex
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import mlflow
import pandas as pd
import skops.io
import typer
from sklearn.ensemble import RandomForestClassifier

from app.command import run_command, single_command_app
from app.errors import DataError, ModelNotFoundError
from app.models import artifact
from app.models.registry import GATE_TAG, HELD_OUT_TAG, PASSED, Registry
from app.settings import Settings, settings
from app.training import provenance, run_tags
from app.training.evaluation import promotion_gate, report
from app.training.evaluation.promotion_gate import HeldOut, Terms
from app.training.evaluation.resampled_metrics import Answers

log = logging.getLogger("manta.train")

EXAMPLE_ROWS: Final = 5
"""Held-out rows that are stored beside the model, with its answers, for checks at load."""

MODEL_FILE: Final = "model.skops"
ROWS_FILE: Final = "held_out.parquet"
RECORD_FILE: Final = "record.json"
LABELS: Final = "labels"
"""Column of the labels in `ROWS_FILE`; the features' columns are numbered there."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A fitted forest, and all that is needed to judge and register it."""

    model: RandomForestClassifier
    rows: HeldOut
    terms: Terms
    promote: bool
    """Whether the alias moves if the gate is passed."""
    dataset: str
    """Name of the data set."""
    tags: dict[str, str]
    """Of the run: where data and code came from."""
    params: dict[str, Any]
    """Of the run."""
    fit_s: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run made; the job's last line of output is this as JSON."""

    run_id: str
    model_name: str
    version: str
    gate: str
    """`passed` or `failed`."""
    reason: str
    """The gate's decision in a sentence."""
    promoted: bool
    """Whether the version is the champion now."""
    metrics: dict[str, float]
    """Scores on the held-out rows."""
    fingerprint: str
    """Of the forest: the same data, parameters and seed give the same."""
    fit_s: float


def publish(candidate: Candidate, registry: Registry, *, model_name: str, run_id: str) -> Result:
    """Score, log, judge and register a forest in the active run, and make it the champion if it passes.

    Args:
        candidate: The forest.
        registry: Where it goes.
        model_name: The registered model.
        run_id: The active run.

    Raises:
        RegistryUnavailableError: MLflow does not answer; what it has got so far stays there.
    """
    model, rows = candidate.model, candidate.rows
    truth = rows.target.to_numpy()
    answers = Answers(classes=model.classes_, probabilities=model.predict_proba(rows.features))
    scores = report.metrics(answers, truth)
    mlflow.log_params(candidate.params)
    mlflow.log_metrics(scores | {"fit_s": candidate.fit_s})
    for name, figure in report.plots(answers, truth):
        mlflow.log_figure(figure, name)
    fingerprint = provenance.fingerprint(model)
    uri = artifact.log(model, example=rows.features.head(EXAMPLE_ROWS), labels=rows.target.head(EXAMPLE_ROWS))
    decision = _decide(candidate, answers, registry, model_name)
    made = {GATE_TAG: decision.verdict, run_tags.MODEL_FINGERPRINT: fingerprint} | decision.tags()
    mlflow.log_metrics(decision.scores())
    mlflow.set_tags(made)
    version = registry.register(
        model_name,
        model_uri=uri,
        description=f"Random forest of {model.n_estimators} trees on {candidate.dataset}: "
        f"{candidate.terms.metric} {decision.challenger_score:.4f} on {len(truth)} held-out rows.",
        tags=made | {run_tags.DATA_FINGERPRINT: candidate.tags[run_tags.DATA_FINGERPRINT], HELD_OUT_TAG: rows.how},
    )
    promoted = candidate.promote and decision.verdict == PASSED
    if promoted:
        registry.promote(version)
    log.info(
        "gate %s: %s Version %s is %s.",
        decision.verdict,
        decision.reason,
        version.version,
        "the champion now" if promoted else "registered, and the champion stays as it is",
    )
    return Result(
        run_id=run_id,
        model_name=model_name,
        version=str(version.version),
        gate=decision.verdict,
        reason=decision.reason,
        promoted=promoted,
        metrics=scores,
        fingerprint=fingerprint,
        fit_s=round(candidate.fit_s, 3),
    )


def keep(candidate: Candidate, *, run_id: str, folder: Path) -> None:
    """Write a forest into a folder that exists, with all that `restore` needs."""
    rows = candidate.rows
    skops.io.dump(candidate.model, folder / MODEL_FILE)
    table = rows.features.set_axis([str(index) for index in range(rows.features.shape[1])], axis=1)
    table.assign(**{LABELS: rows.target}).to_parquet(folder / ROWS_FILE)
    record = {
        "run_id": run_id,
        "columns": list(rows.features.columns),
        "shares": list(rows.shares.items()),
        "how": rows.how,
        "terms": asdict(candidate.terms),
        **{name: getattr(candidate, name) for name in ("promote", "dataset", "tags", "params", "fit_s")},
    }
    (folder / RECORD_FILE).write_text(json.dumps(record))


def restore(folder: Path) -> tuple[Candidate, str]:
    """Read a forest that was kept, without running code from it.

    Returns:
        The forest, and the id of the run that made it.

    Raises:
        DataError: The folder holds none.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_text())
        table = pd.read_parquet(folder / ROWS_FILE)
        model = skops.io.load(folder / MODEL_FILE, trusted=artifact.TRUSTED_TYPES)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} holds no model that training kept: {error}", next_step="Give the folder that training named."
        ) from error
    labels = table[LABELS]
    rows = HeldOut(
        features=table.drop(columns=LABELS).set_axis(record["columns"], axis=1),
        target=labels if pd.api.types.is_numeric_dtype(labels) else labels.astype(object),
        shares=dict(record["shares"]),
        how=record["how"],
    )
    return Candidate(
        model=model,
        rows=rows,
        terms=Terms(**record["terms"]),
        **{name: record[name] for name in ("promote", "dataset", "tags", "params", "fit_s")},
    ), record["run_id"]


def kept(candidate: Candidate, *, run_id: str, configured: Settings) -> str:
    """Keep a forest in a new folder of its own, and say how it is registered from there."""
    folder = Path(tempfile.mkdtemp(prefix="manta-kept-"))
    keep(candidate, run_id=run_id, folder=folder)
    name, uri = configured.model_name, configured.mlflow_tracking_uri
    words = [
        f"MLFLOW_TRACKING_URI={uri}",
        f"MANTA_MODEL_NAME={name}",
        sys.executable,
        "-m",
        "app.training.registration",
        str(folder),
    ]
    return f"The model is kept in {folder}. Once MLflow answers, register it on this machine: {shlex.join(words)}"


def publish_kept(folder: Path, configured: Settings) -> Result:
    """Register a forest that was kept, in the run that made it; in a new one if MLflow no longer has that run.

    Raises:
        DataError: The folder holds none.
        RegistryUnavailableError: MLflow does not answer.
    """
    candidate, run_id = restore(folder)
    registry = Registry(configured)
    try:
        return _publish_in(candidate, registry, configured, run_id=run_id)
    except ModelNotFoundError:
        return _publish_in(candidate, registry, configured, run_id=None)


def _publish_in(candidate: Candidate, registry: Registry, configured: Settings, *, run_id: str | None) -> Result:
    with registry.run(configured.experiment, tags=candidate.tags, run_id=run_id) as active:
        return publish(candidate, registry, model_name=configured.model_name, run_id=active)


def _decide(candidate: Candidate, answers: Answers, registry: Registry, model_name: str) -> promotion_gate.Decision:
    """The gate's decision against a champion that was still the champion when it was made."""
    champion = registry.champion(model_name)
    while True:
        decision = promotion_gate.judge(answers, candidate.rows, candidate.terms, registry=registry, champion=champion)
        latest = registry.champion(model_name)
        if (latest and latest.version) == (champion and champion.version):
            return decision
        champion = latest


def start_log() -> None:
    """Send the steps of a run to the job's output, and nobody else's below warnings."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    logging.getLogger("mlflow").setLevel(logging.WARNING)


def show(result: Result) -> None:
    """Print a result as the last line of the output."""
    print(json.dumps(asdict(result)), flush=True)  # noqa: T201 - the job's output


def main(folder: Annotated[Path, typer.Argument(help="Folder that a training run named.")]) -> None:
    """Register a model that was kept because MLflow did not answer."""
    start_log()
    show(publish_kept(folder, settings()))


if __name__ == "__main__":
    run_command(single_command_app(main))
