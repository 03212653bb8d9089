"""Reading and checking the rows of a data set.

`app.training.data.split` decides which rows are held out.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.utils import Bunch

from app.errors import DataError, ParameterError
from app.training.data import dvc
from app.training.data.dataset import Dataset, Rows

BUNDLED_DATASETS: Final[dict[str, Callable[..., Bunch]]] = {
    "breast-cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
}
"""The data sets that ship with scikit-learn, by the name that `--dataset` takes."""

COLUMNS_SHOWN: Final = 20
"""Maximum number of columns that an error message lists."""

DOWNLOAD_TIMEOUT_S: Final = 60.0
"""Timeout for each read from the server of a `--data` URL."""

DOWNLOAD_LIMIT_BYTES: Final = 2 * 1024**3
"""Largest file that `--data` downloads."""

READERS: Final[dict[str, Callable[..., pd.DataFrame]]] = {
    ".csv": pd.read_csv,
    ".csv.gz": lambda source: pd.read_csv(source, compression="gzip"),
    ".parquet": pd.read_parquet,
}
"""Function that reads a file, by file ending."""


def load_bundled(name: str) -> Dataset:
    """Load a data set that ships with scikit-learn.

    Raises:
        ParameterError: `BUNDLED_DATASETS` has no such name.
    """
    if name not in BUNDLED_DATASETS:
        raise ParameterError(
            f"There is no bundled data set {name!r}.",
            allowed=", ".join(BUNDLED_DATASETS),
            next_step="Choose one of them with --dataset, or your own file with --data FILE --target COLUMN.",
        )
    load = BUNDLED_DATASETS[name]
    bunch = load(as_frame=True)
    labels = bunch.target_names[bunch.target.to_numpy()]
    frame = bunch.data.assign(target=labels)
    return from_frame(frame, target="target", name=name, source=f"sklearn.datasets.{load.__name__}")


def make_synthetic(*, n_samples: int, seed: int = 42) -> Dataset:
    """Generate a two-class problem with 20 features: 10 informative, 10 redundant.

    Args:
        n_samples: Number of rows.
        seed: The same seed generates the same rows.
    """
    values, labels = datasets.make_classification(
        n_samples=n_samples, n_features=20, n_informative=10, n_redundant=10, n_classes=2, random_state=seed
    )
    columns = [f"feature_{i}" for i in range(values.shape[1])]
    frame = pd.DataFrame(values, columns=columns).assign(target=labels)
    source = f"sklearn.datasets.make_classification(n_samples={n_samples}, random_state={seed})"
    return from_frame(frame, target="target", name="synthetic", source=source)


def read_file(location: str, *, target: str) -> Dataset:
    """Read a CSV or Parquet file from this machine, over HTTP(S), or from DVC.

    Args:
        location: Path, URL, or `dvc:PATH[@REV]`; the file ending decides the format (`READERS`).
        target: Column with the labels; every other column is a feature.

    Raises:
        DataError: The file cannot be read or is empty, or its rows are not usable (see `from_frame`).
    """
    path = _file_path(location)
    reader = next((READERS[ending] for ending in READERS if path.lower().endswith(ending)), None)
    if reader is None:
        raise DataError(
            f"{location} has no known file ending.",
            allowed=", ".join(READERS),
            next_step="Save the table in one of these formats.",
        )
    content, tags = _read_content(location)
    if not content.strip():
        raise DataError(f"{location} is empty.", next_step="Give a file with a header and rows.")
    try:
        frame = reader(io.BytesIO(content))
    except (ValueError, OSError, EOFError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        raise DataError(
            f"{location} cannot be read as {_format_name(path)}: {str(error).strip().splitlines()[0]}",
            next_step="Check that the file is complete and that its ending matches its format.",
        ) from error
    return replace(from_frame(frame, target=target, name=Path(path).name, source=location), tags=tags)


def is_local_file(source: str) -> bool:
    """Whether the source of a data set is a file on this machine."""
    return Path(source).is_file()


def from_frame(frame: pd.DataFrame, *, target: str, name: str, source: str) -> Dataset:
    """Check a table and make a data set of it.

    Args:
        frame: One example per row: the target column, and one or more numeric columns.
        target: Column with the labels.
        name: Name of the data set in the run.
        source: File, URL or library function that the table comes from.

    Raises:
        DataError: The target is missing, or a column or a label is unusable; the message names it.
    """
    frame = frame.rename(columns=str)
    if target not in frame.columns:
        raise DataError(
            f"{source} has no column {target!r}.",
            allowed=", ".join(frame.columns[:COLUMNS_SHOWN]) + (", ..." if frame.shape[1] > COLUMNS_SHOWN else ""),
            next_step="Give the column with the labels as --target.",
        )
    if frame.empty:
        raise DataError(f"{source} has no rows.", next_step="Add rows.")
    if frame.shape[1] == 1:
        raise DataError(f"{source} has no feature column, only the target.", next_step="Add a feature column.")
    return Dataset(
        name=name,
        source=source,
        rows=Rows(
            features=_validate_features(frame.drop(columns=target), source),
            target=_validate_target(frame[target], source),
        ),
    )


def _file_path(location: str) -> str:
    """Return the path in a location, without the URL's host and query or the DVC revision."""
    path = dvc.DvcLocation.parse(location).path if dvc.is_dvc_location(location) else location
    return urlsplit(location).path if "://" in location else path


def _read_content(location: str) -> tuple[bytes, dict[str, str]]:
    """Return the bytes of a file, and additional tags of the run."""
    if dvc.is_dvc_location(location):
        file = dvc.read(location)
        return file.content, file.tags
    return _download(location) if "://" in location else _read_local_file(Path(location)), {}


def _format_name(path: str) -> str:
    return "Parquet" if path.lower().endswith(".parquet") else "CSV"


def _read_local_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", next_step="Give the path of a readable file."
        ) from error


def _download(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise DataError(f"The URL scheme of {url} is not supported.", allowed="http, https, or a path on this machine")
    body = bytearray()
    try:
        with httpx.stream("GET", url, timeout=DOWNLOAD_TIMEOUT_S, follow_redirects=True) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > DOWNLOAD_LIMIT_BYTES:
                    raise DataError(f"{url} is too large.", allowed=f"up to {DOWNLOAD_LIMIT_BYTES} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(
            f"{url} cannot be fetched: {error}.", next_step="Check the URL, or download the file first."
        ) from error
    return bytes(body)


def _validate_features(features: pd.DataFrame, source: str) -> pd.DataFrame:
    """Return every column as float64.

    Raises:
        DataError: A column is not numeric, or a value is not finite.
    """
    non_numeric = [name for name in features if not pd.api.types.is_numeric_dtype(features[name])]
    if non_numeric:
        raise DataError(
            f"{source} has columns that are not numbers: {', '.join(non_numeric)}.",
            allowed="numbers and booleans",
            next_step="Encode these columns as numbers, or drop them.",
        )
    values = features.astype(np.float64)
    with np.errstate(over="ignore"):
        # scikit-learn's trees compare in float32. A value that overflows there becomes infinite.
        is_finite = np.isfinite(values.to_numpy().astype(np.float32))
    if not is_finite.all():
        row, column = (int(index) for index in np.argwhere(~is_finite)[0])
        raise DataError(
            f"{source} has {int((~is_finite).sum())} values that are missing, infinite or beyond float32. "
            f"The first is in data row {row + 1}, column {values.columns[column]!r}: {values.iloc[row, column]}.",
            allowed="finite numbers",
            next_step="Fill or drop these rows.",
        )
    return values


def _validate_target(target: pd.Series, source: str) -> pd.Series:
    """Return the labels as integers or strings.

    Raises:
        DataError: A label is missing, the labels are fractions, or there is only one class.
    """
    is_missing = target.isna()
    if is_missing.any():
        raise DataError(
            f"{source} has {int(is_missing.sum())} rows without a label in column {target.name!r}. The first is data "
            f"row {int(np.flatnonzero(is_missing)[0]) + 1}.",
            next_step="Fill or drop these rows.",
        )
    if pd.api.types.is_float_dtype(target) and not (target % 1 == 0).all():
        raise DataError(
            f"The target column {target.name!r} of {source} has fractions, which cannot be class labels.",
            allowed="integers, booleans or strings",
            next_step="Give another column as --target, or bin the values into classes.",
        )
    is_numeric = pd.api.types.is_numeric_dtype(target)
    labels = target.astype(np.int64) if is_numeric else target.astype(str).astype(object)
    if labels.nunique() < 2:  # noqa: PLR2004 - classes
        raise DataError(
            f"{source} has only the class {labels.iloc[0]!r} in column {target.name!r}.",
            allowed="two classes or more",
            next_step="Add rows of another class.",
        )
    return labels
