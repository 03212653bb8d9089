"""Checks where the prediction log is kept, without the libraries that write it."""

import re
from typing import Final

from app import names
from app.errors import ParameterError

HELP: Final = "Where the service keeps the rows that it predicts and its answers; a URL is s3://BUCKET/FOLDER."
"""Help of the option of `manta local`."""


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
