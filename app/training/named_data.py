"""The data set that `--data` names: a table, a function of the user's file, or the prediction log."""

from app.errors import ParameterError
from app.settings import Settings
from app.training.data import labelled_log, sources
from app.training.data.dataset import Dataset
from app.training.data.log_location import is_log
from app.training.data_function import is_function, read_function


def read_data(
    location: str,
    settings: Settings,
    *,
    target: str | None,
    group: str | None = None,
    time: str | None = None,
    weight: str | None = None,
) -> Dataset:
    """Read a data set.

    Args:
        location: Value of `--data`.
        settings: The registered model, and where its prediction log is.
        target: Column to predict. None is possible for the prediction log only.
        group: See `sources.from_frame`.
        time: See `sources.from_frame`.
        weight: See `sources.from_frame`.

    Raises:
        ParameterError: The target is missing, or the period of the log cannot be used.
        DataError, ModelCodeError, LogOffError, PlatformError: See `sources.read_file`, `read_function` and
            `labelled_log.read_log`.
    """
    if is_log(location):
        return labelled_log.read_log(location, settings, target=target, group=group, time=time, weight=weight)
    if target is None:
        raise ParameterError(
            "--data and --target belong together.", next_step="Give the file and its column with the labels."
        )
    read = read_function if is_function(location) else sources.read_file
    return read(location, target=target, group=group, time=time, weight=weight)
