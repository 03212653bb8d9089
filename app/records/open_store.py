"""Opens the store of the prediction log that the settings name."""

from app import names
from app.errors import LogOffError
from app.records.log_store import LogStore
from app.records.mlflow_store import MlflowStore
from app.records.object_store import ObjectStore
from app.settings import Settings


def open_store(settings: Settings) -> LogStore | None:
    """Return the store of the prediction log; None if there is no log."""
    if settings.prediction_log == names.LOG_OFF:
        return None
    if settings.prediction_log == names.LOG_IN_MLFLOW:
        return MlflowStore(settings)
    return ObjectStore(settings.prediction_log)


def require_store(settings: Settings, *, purpose: str) -> LogStore:
    """Return the store of the prediction log for a command.

    Args:
        settings: Where the log is.
        purpose: What the command does with the log: a verb for the error message.

    Raises:
        LogOffError: There is no log.
    """
    store = open_store(settings)
    if store is None:
        raise LogOffError(
            f"There is no prediction log to {purpose}.",
            next_step="Say where it is: --log mlflow, or --log s3://BUCKET/FOLDER.",
        )
    return store
