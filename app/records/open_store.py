"""Opens the store of the prediction log that the settings name."""

from app import names
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
