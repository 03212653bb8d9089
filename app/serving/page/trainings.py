"""The newest trainings, for `GET /model/trainings` and for the page."""

from datetime import UTC, datetime
from typing import Final

from app.models.recent_trainings import RecentTraining, RecentTrainings
from app.serving import schemas
from app.serving.schemas import Message

COUNT: Final = 10
"""Maximum number of trainings."""


class Training(Message):
    """A training, or the registration of a model from a file."""

    run_id: str
    """Id of the run in MLflow."""
    experiment_id: str
    """Id of the run's experiment in MLflow."""
    name: str
    """Name of the run."""
    state: str
    """`running`, `finished`, `failed` or `killed`. A training whose job was killed may stay `running`."""
    started: datetime
    seconds: float | None
    """Duration; null while the training runs."""
    gate: str
    """Verdict of the gate: `passed`, `failed` or `forced`; empty before the gate."""
    reason: str
    """What the gate compared, in sentences; empty before the gate."""
    model: str
    """Registered model of the version; empty without a version."""
    version: str
    """Number of the version that the training registered; empty without one."""
    judgement: str
    """Id of the run in MLflow with the judgement of drift that began the training; empty for another training."""


class TrainingList(Message):
    """The newest trainings of the experiment, of all models, newest first."""

    trainings: list[Training]
    timestamp: datetime
    """When MLflow was asked."""


def read(trainings: RecentTrainings) -> TrainingList:
    """Ask MLflow for the trainings.

    Raises:
        RegistryUnavailableError: MLflow does not answer.
    """
    return TrainingList(trainings=[_training(training) for training in trainings.read(COUNT)], timestamp=schemas.now())


def _training(training: RecentTraining) -> Training:
    ended_ms = training.ended_ms
    return Training(
        run_id=training.run_id,
        experiment_id=training.experiment_id,
        name=training.name,
        state=training.state.lower(),
        started=datetime.fromtimestamp(training.started_ms / 1000, UTC),
        seconds=None if ended_ms is None else (ended_ms - training.started_ms) / 1000,
        gate=training.gate,
        reason=training.reason,
        model=training.model,
        version=training.version,
        judgement=training.judgement,
    )
