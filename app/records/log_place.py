"""Checks where the prediction log is kept, without the libraries that write it."""

import re
from typing import Final

from app import names
from app.errors import ParameterError

HELP: Final = "Where the service keeps the rows that it predicts and its answers; a URL is s3://BUCKET/FOLDER."
"""Help of the option of `manta local`."""


def choose(option: str, configured: str) -> str:
    """Return where a command reads the prediction log.

    Args:
        option: Value of `--log`; empty without the option.
        configured: Value of `MANTA_PREDICTION_LOG`. A user's machine rarely sets it, so its default `off` means MLflow.

    Raises:
        ParameterError: The prediction log cannot be kept there.
    """
    return check(option or (names.LOG_IN_MLFLOW if configured == names.LOG_OFF else configured))


def check(place: str) -> str:
    """Return a value of `MANTA_PREDICTION_LOG`.

    Raises:
        ParameterError: The prediction log cannot be kept there.
    """
    if re.fullmatch(names.PREDICTION_LOG_PATTERN, place) is None:
        raise ParameterError(
            f"The prediction log cannot be kept at {place!r}.",
            allowed="off, mlflow, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or abfs://CONTAINER@HOST/FOLDER",
        )
    return place
