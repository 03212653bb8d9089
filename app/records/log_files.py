"""The files of the prediction log: their names, and the columns of the predictions and of the labels.

The replicas write one file of predictions per version about every 30 seconds, and files of labels as labels arrive.
`app.records.log_reader` matches labels with predictions by the request's id and the row's index.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import quote, unquote

import pyarrow as pa

Kind = Literal["predictions", "feedback"]

REQUEST_ID: Final = "request_id"
ROW: Final = "row"
TIME: Final = "time"
MODEL: Final = "model"
VERSION: Final = "version"
ROLE: Final = "role"
SHARE: Final = "share"
"""Share of the requests that the replica logged when it logged this one: 0 to 1."""

CLASSES_KEY: Final = b"manta.classes"
"""Key of a file's metadata: the class labels in the order of the probabilities, as JSON."""

DATES_KEY: Final = b"manta.dates"
"""Key of a file's metadata: the names of the features that hold dates, as JSON. Other files lack the key."""

FORMAT_KEY: Final = b"manta.format"
FORMAT: Final = b"1"
"""Version of the format, in the metadata of each file."""

TIME_TYPE: Final = pa.timestamp("ms", tz="UTC")

FEEDBACK_SCHEMA: Final = pa.schema(
    [
        (REQUEST_ID, pa.string()),
        (ROW, pa.int64()),
        (TIME, TIME_TYPE),
        ("label", pa.string()),
    ],
    metadata={FORMAT_KEY: FORMAT},
)
"""Labels of one feedback. A label is JSON, so that a number stays a number and a text a text."""

Label: TypeAlias = bool | int | float | str | None
"""The label of a row when the log is read; None for a row without a label."""

NO_VERSION: Final = "-"
"""Model and version in the path of a file of labels, which may belong to several versions."""


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """One file of the log. The path holds every field."""

    kind: Kind
    model: str
    version: str
    time_ms: int
    """When the file was written, in milliseconds since 1970."""
    rows: int
    writer: str
    """Name of the replica that wrote it, or any other name that makes the path unique."""

    @property
    def day(self) -> date:
        """The day of the file, in UTC."""
        return datetime.fromtimestamp(self.time_ms / 1000, UTC).date()

    @property
    def path(self) -> str:
        """Path of the file below the folder of its day."""
        folder = f"{self.kind}/{_encode(self.model)}/{_encode(self.version)}"
        return f"{folder}/{self.time_ms}-{self.rows}-{_encode(self.writer)}.parquet"

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Read a path; None if it is no file of the log."""
        try:
            kind, model, version, name = path.split("/")
            time_ms, rows, writer = name.removesuffix(".parquet").split("-", 2)
            if kind not in {"predictions", "feedback"} or not name.endswith(".parquet"):
                return None
            return cls(
                kind="predictions" if kind == "predictions" else "feedback",
                model=_decode(model),
                version=_decode(version),
                time_ms=int(time_ms),
                rows=int(rows),
                writer=_decode(writer),
            )
        except ValueError:
            return None


def _encode(name: str) -> str:
    """Write a name as part of a path. MLflow refuses paths with `%` or `#`, so that `~` begins an encoded character."""
    return quote(name, safe="").replace("~", "%7E").replace("%", "~")


def _decode(text: str) -> str:
    return unquote(text.replace("~", "%"))
