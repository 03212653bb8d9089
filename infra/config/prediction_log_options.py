"""The prediction log: where it is kept, for how long, and when its rows are judged for drift."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from infra.config.options import OptionGroup
from infra.config.problem import Problem
from infra.config.vocabulary import CronSchedule, allowed

PREDICTION_LOG_PATTERN: Final = (
    r"^(off|mlflow|(s3|gs)://[^/:@?\s]+/[^:@?\s]+(\?[^@\s]*)?"
    r"|abfss?://[^/:@?\s]+@[^/:@?\s]+/[^:@?\s]+(\?[^@\s]*)?)$"
)
"""The same as in `app/names.py`; a test compares the two."""

PLACES: Final = (
    "`off`, `mlflow`, or a folder: `s3://BUCKET/FOLDER`, `gs://BUCKET/FOLDER` or `abfs://CONTAINER@HOST/FOLDER`"
)


def _prediction_log(place: str) -> str:
    if re.fullmatch(PREDICTION_LOG_PATTERN, place) is None:
        raise ValueError(f"allowed are {PLACES}, without user, password or spaces")
    return place


PredictionLog = Annotated[str, AfterValidator(_prediction_log), allowed(PLACES)]


class PredictionLogOptions(OptionGroup):
    """The log of rows and answers, and the schedule of the judgements of drift."""

    prediction_log: PredictionLog = Field(
        "off",
        examples=["s3://my-bucket/predictions"],
        description="Where the service keeps the rows that it predicts and its answers: `off`, `mlflow` (artifacts of "
        "one run per day), or a folder of an object store that Ray's workers may write to.",
    )
    prediction_log_percent: int = Field(
        100, ge=1, le=100, description="Percentage of the prediction requests that are kept, chosen at random."
    )
    prediction_log_rows_per_second: int = Field(
        1_000,
        ge=0,
        description="Rows that each replica keeps in a second, on average. If it predicts more, it keeps a random "
        "share of the requests. 0: no limit.",
    )
    prediction_log_columns: tuple[str, ...] = Field(
        (),
        examples=[["age", "income"]],
        description="Columns of the rows that are kept. Empty: all columns. List those that hold no personal data.",
    )
    prediction_log_days: int = Field(
        30, ge=1, le=3650, description="Days that the prediction log is kept. Older days are deleted."
    )
    drift_schedule: CronSchedule = Field(
        "",
        examples=["0 * * * *"],
        description="Cron schedule, in UTC, on which the champion of every served model is judged for drift by the log "
        "of the last 7 days. Empty: no schedule.",
    )
    retrain_on: Literal["score", "drift", "never"] = Field(
        "score",
        description="What begins a training after two judgements of `driftSchedule` in succession: `score` (a score of "
        "the champion fell), `drift` (any alarm), or `never`.",
    )


def problems(options: PredictionLogOptions) -> Iterator[Problem]:
    """Yield every contradiction between the values."""
    if options.drift_schedule and options.prediction_log == "off":
        reason = "set, but the prediction log is off, so there are no rows to judge"
        yield Problem("driftSchedule", reason, "pulumi config set predictionLog mlflow")
