"""The reference of a version: what its training rows looked like, and how it answered rows that it was not fitted on.

`app.training.reference` builds a reference. A version keeps it as a folder of files in the artifacts of its run:
`profile.json`, `rows.parquet` and `held_out.parquet`.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.entities.model_registry import ModelVersion
from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import DataError, first_line
from app.models import registry_errors

REFERENCE_TAG: Final = "reference"
"""Tag of a model version: URI of the folder with its reference."""

FOLDER: Final = "reference"
"""Path of the folder in the artifacts of a run."""

PROFILE_FILE: Final = "profile.json"
ROWS_FILE: Final = "rows.parquet"
HELD_OUT_FILE: Final = "held_out.parquet"

MAX_ROWS: Final = 10_000
"""Maximum number of training rows, and of held-out rows, that a reference keeps."""

MAX_CELLS: Final = 2_000_000
"""Maximum number of values of each of the two. A reference of 1,000 columns keeps 2,000 rows."""

MAX_TEXT_CHARS: Final = 256
"""Number of characters of a text that a reference keeps."""

MAX_CATEGORIES: Final = 1_000
"""Maximum number of different texts of a column that a profile names."""

RETRAIN: Final = "Train the model again with this release, and load the new version: manta train."
"""Next step of an error about a version without a usable reference."""


class ColumnProfile(BaseModel):
    """One feature in all training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["number", "text", "date"]
    missing: float
    """Share of the rows without a value, 0 to 1."""
    influence: float | None = None
    """How much the answers change when the values of this column are exchanged between rows; 0 if the model ignores the
    column. None if it was not measured. See `app.training.reference.measure_influence`."""
    mean: float | None = None
    std: float | None = None
    """Standard deviation; None for text."""
    quantiles: list[float] = []
    """The 0th to the 100th percentile of numbers and dates. A date is a number of seconds since 1970."""
    categories: dict[str, int] = {}
    """Number of rows of each text, the most frequent first; at most `MAX_CATEGORIES` texts."""
    category_count: int = 0
    """Number of different texts."""


class Profile(BaseModel):
    """What a reference says about all rows, also about those that it does not keep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    """Version of the format of the files."""
    source: Literal["training", "held_out"]
    """Which rows the columns describe: the training rows, or the held-out rows of a model that was fitted elsewhere."""
    row_count: int
    """Number of these rows."""
    columns: list[ColumnProfile]
    task: Literal["classification", "regression"]
    metric: str
    """Metric of the gate."""
    margin: float
    """Margin of the gate, in units of the metric."""
    classes: list[bool | int | float | str] = []
    """Class labels in the order of the probabilities; empty without probabilities."""
    held_out_count: int
    """Number of held-out rows."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference of a version."""

    profile: Profile
    rows: pa.Table
    """A sample of the training rows: columns of `app.records.tables.feature_columns`."""
    held_out: pa.Table
    """A sample of the held-out rows: the same columns, the answers of the model, and the column `label`."""

    def write(self, folder: Path) -> None:
        """Write the files into an existing folder."""
        (folder / PROFILE_FILE).write_text(self.profile.model_dump_json(indent=1))
        pq.write_table(self.rows, folder / ROWS_FILE, compression="zstd")
        pq.write_table(self.held_out, folder / HELD_OUT_FILE, compression="zstd")

    @classmethod
    def read(cls, folder: Path, *, label: str) -> Self:
        """Read the files that `write` wrote.

        Args:
            folder: The folder.
            label: Name of the version in error messages.

        Raises:
            DataError: A file is missing, is damaged, or has another format.
        """
        try:
            profile = Profile.model_validate_json((folder / PROFILE_FILE).read_bytes())
            return cls(
                profile=profile,
                rows=pq.read_table(folder / ROWS_FILE),
                held_out=pq.read_table(folder / HELD_OUT_FILE),
            )
        except (OSError, ValidationError, pa.ArrowException) as error:
            raise DataError(
                f"The reference of {label} cannot be read: {first_line(error)}", next_step=RETRAIN
            ) from error


def log(reference: Reference) -> str:
    """Store a reference in the active MLflow run.

    Returns:
        Its URI, for the tag `REFERENCE_TAG` of the version.
    """
    with tempfile.TemporaryDirectory(prefix="manta-reference-") as folder:
        reference.write(Path(folder))
        mlflow.log_artifacts(folder, FOLDER)
    run = mlflow.active_run()
    return f"runs:/{run.info.run_id}/{FOLDER}" if run else ""


def fetch(version: ModelVersion, *, uri: str) -> Reference:
    """Download the reference of a version.

    Args:
        version: The version, with its tags.
        uri: URL of MLflow.

    Raises:
        DataError: The version has no reference, or its reference cannot be read.
        ModelNotFoundError: The files of the reference were deleted.
        RegistryUnavailableError: MLflow or its artifact store does not answer.
    """
    label = f"{version.name} version {version.version}"
    location = version.tags.get(REFERENCE_TAG)
    if not location:
        raise DataError(
            f"{label} has no reference. An earlier release registered it, or it was registered with --no-reference.",
            next_step=RETRAIN,
        )
    with tempfile.TemporaryDirectory(prefix="manta-reference-") as folder:
        with registry_errors.of_lookup(uri, f"The reference of {label} was deleted: {location}", next_step=RETRAIN):
            mlflow.set_tracking_uri(uri)
            downloaded = mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=folder)
        return Reference.read(Path(downloaded), label=label)
