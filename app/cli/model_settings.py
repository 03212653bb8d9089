"""The settings of a command that reads a registered model in MLflow and its prediction log."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.cli import destination
from app.records import log_place
from app.settings import Settings, set_mlflow_credentials, settings


@contextmanager
def open_settings(*, name: str, stack: str, log: str = "") -> Iterator[Settings]:
    """Yield the settings of a platform. Keep the tunnel to MLflow open while the block runs.

    Args:
        name: Registered model; empty for the model of the platform.
        stack: Pulumi stack; empty if `destination.find` chooses the platform.
        log: Value of `--log`; see `log_place.choose`.

    Raises:
        ParameterError: The prediction log cannot be kept there.
        StackError: Pulumi cannot read the stack, or the stack is not up.
        PlatformError: Nothing names a platform, and none runs in this folder.
    """
    place = log_place.choose(log, settings().prediction_log)
    with destination.find(settings(), "mlflow", stack=stack).open("mlflow") as endpoints:
        if endpoints.mlflow_auth is not None:
            set_mlflow_credentials(*endpoints.mlflow_auth)
        update = {
            "mlflow_tracking_uri": endpoints.mlflow_url,
            "model_name": name or endpoints.model_name or settings().model_name,
            "prediction_log": place,
            "show_examples": endpoints.show_examples and settings().show_examples,
        }
        yield settings().model_copy(update=update)
