"""Where training rows come from, what makes them usable, and their fingerprint.

Which of them are held out is decided in `app.training.data.split`.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd
from sklearn import datasets

from app.errors import DataError, ParameterError
from app.training.data import dvc

BUNDLED: Final[dict[str, Callable[..., object]]] = {
    "breast-cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
}
"""Real data sets that scikit-learn ships, by the name that `--dataset` takes."""

DOWNLOAD_TIMEOUT_S: Final = 60.0
"""The longest silence of a server that `--data` names."""

DOWNLOAD_LIMIT_BYTES: Final = 2 * 1024**3
"""The largest file that `--data` fetches."""

READERS: Final[dict[str, Callable[..., pd.DataFrame]]] = {
    ".csv": pd.read_csv,
    ".csv.gz": lambda source: pd.read_csv(source, compression="gzip"),
    ".parquet": pd.read_parquet,
}
"""How a file is read, by how its name ends."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Rows that a classifier can be fitted on: finite numbers, and a label for each."""

    name: str
    source: str
    """File, URL or library function that the rows came from."""
    features: pd.DataFrame
    """Shape (rows, columns), float64, finite in float32 too, column names unique strings."""
    target: pd.Series
    """Shape (rows,), the labels: strings or integers, at least two different ones."""
    tags: dict[str, str] = field(default_factory=dict)
    """What else the run is to say of the source, such as its revision."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over column names, values and labels in their order: other data, other fingerprint."""
        digest = hashlib.sha256()
        header = [*self.features.columns, str(self.target.name), str(self.target.dtype)]
        digest.update("\x1f".join(header).encode())
        digest.update(np.ascontiguousarray(self.features.to_numpy()).tobytes())
        digest.update("\x1f".join(map(str, self.target)).encode())
        return digest.hexdigest()


def bundled(name: str) -> Dataset:
    """Load a real data set that scikit-learn ships.

    Raises:
        ParameterError: There is no such data set.
    """
    if name not in BUNDLED:
        raise ParameterError(
            f"There is no bundled data set {name!r}.",
            allowed=", ".join(BUNDLED),
            next_step="Name one of them with --dataset, or a file of yours with --data FILE --target COLUMN.",
        )
    load = BUNDLED[name]
    bunch = load(as_frame=True)
    labels = bunch.target_names[bunch.target.to_numpy()]  # type: ignore[attr-defined]
    frame = bunch.data.assign(target=labels)  # type: ignore[attr-defined]
    return from_frame(frame, target="target", name=name, source=f"sklearn.datasets.{load.__name__}")


def synthetic(*, n_samples: int, seed: int = 42) -> Dataset:
    """Make a two-class problem of 20 features, 10 of them informative and 10 redundant.

    Args:
        n_samples: Rows to make.
        seed: Seed of scikit-learn's generator; the same seed makes the same rows.
    """
    values, labels = datasets.make_classification(
        n_samples=n_samples, n_features=20, n_informative=10, n_redundant=10, n_classes=2, random_state=seed
    )
    columns = [f"feature_{i}" for i in range(values.shape[1])]
    frame = pd.DataFrame(values, columns=columns).assign(target=labels)
    source = f"sklearn.datasets.make_classification(n_samples={n_samples}, random_state={seed})"
    return from_frame(frame, target="target", name="synthetic", source=source)


def from_file(location: str, *, target: str) -> Dataset:
    """Read a CSV or Parquet file, from this machine, over HTTP(S) or from DVC.

    Args:
        location: Path, URL, or `dvc:PATH[@REV]`; its ending decides the format (`READERS`).
        target: Column that holds the labels; every other column is a feature.

    Raises:
        DataError: It cannot be read, is empty, or no classifier can be fitted on it.
    """
    is_versioned = dvc.is_versioned(location)
    path = dvc.Location.parse(location).path if is_versioned else location
    path = urlsplit(location).path if "://" in location else path
    reader = next((READERS[end] for end in READERS if path.lower().endswith(end)), None)
    if reader is None:
        raise DataError(
            f"{location} has no known file ending.",
            allowed=", ".join(READERS),
            next_step="Save the table in one of these formats.",
        )
    tags: dict[str, str] = {}
    if is_versioned:
        file = dvc.read(location)
        content, tags = file.content, file.tags
    else:
        content = _download(location) if "://" in location else _read(Path(location))
    if not content.strip():
        raise DataError(f"{location} is empty.", next_step="Give a file with a header and rows.")
    try:
        frame = reader(io.BytesIO(content))
    except (ValueError, OSError, EOFError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        raise DataError(
            f"{location} cannot be read as {reader_name(path)}: {str(error).strip().splitlines()[0]}",
            next_step="Check that the file is whole and that its ending names its format.",
        ) from error
    return replace(from_frame(frame, target=target, name=Path(path).name, source=location), tags=tags)


def is_file(source: str) -> bool:
    """Whether a data set's source is a file on this machine."""
    return Path(source).is_file()


def reader_name(path: str) -> str:
    """The format of a file by its ending, for messages."""
    return "Parquet" if path.lower().endswith(".parquet") else "CSV"


def from_frame(frame: pd.DataFrame, *, target: str, name: str, source: str) -> Dataset:
    """Check a table and make it a data set.

    Args:
        frame: One row an example; the target and one column or more of numbers.
        target: Column that holds the labels.
        name: What the run is to call the data.
        source: Where the table came from.

    Raises:
        DataError: The target is missing, or a column or a label is unusable; the message names it.
    """
    frame = frame.rename(columns=str)
    if target not in frame.columns:
        raise DataError(
            f"{source} has no column {target!r}.",
            allowed=", ".join(frame.columns[:20]) + (", ..." if frame.shape[1] > 20 else ""),  # noqa: PLR2004
            next_step="Name the column that holds the labels with --target.",
        )
    if frame.empty:
        raise DataError(f"{source} has no rows.", next_step="Add rows.")
    if frame.shape[1] == 1:
        raise DataError(f"{source} has no feature column beside the target.", next_step="Add one or more.")
    return Dataset(
        name=name,
        source=source,
        features=_checked_features(frame.drop(columns=target), source),
        target=_checked_target(frame[target], source),
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", next_step="Give the path of a readable file."
        ) from error


def _download(url: str) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise DataError(f"{url} has an unknown scheme.", allowed="http, https, or a path on this machine")
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
            f"{url} cannot be fetched: {error}.", next_step="Check the address, or download the file first."
        ) from error
    return bytes(body)


def _checked_features(features: pd.DataFrame, source: str) -> pd.DataFrame:
    """Every column as float64, or an error that names the columns at fault."""
    wrong = [name for name in features if not pd.api.types.is_numeric_dtype(features[name])]
    if wrong:
        raise DataError(
            f"{source} has columns that are not numbers: {', '.join(wrong)}.",
            allowed="numbers and booleans",
            next_step="Encode these columns as numbers, or drop them.",
        )
    values = features.astype(np.float64)
    with np.errstate(over="ignore"):
        # scikit-learn's trees compare in float32: what overflows there is infinite to them.
        finite = np.isfinite(values.to_numpy().astype(np.float32))
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        raise DataError(
            f"{source} has {int((~finite).sum())} values that are missing, infinite or beyond float32, the first "
            f"in data row {row + 1}, column {values.columns[column]!r}: {values.iloc[row, column]}.",
            allowed="finite numbers",
            next_step="Fill or drop these rows.",
        )
    return values


def _checked_target(target: pd.Series, source: str) -> pd.Series:
    """Labels as integers or strings, or an error that says why they name no classes."""
    if target.isna().any():
        raise DataError(
            f"{source} has {int(target.isna().sum())} rows without a label in {target.name!r}, the first in data "
            f"row {int(np.flatnonzero(target.isna())[0]) + 1}.",
            next_step="Fill or drop these rows.",
        )
    if pd.api.types.is_float_dtype(target) and not (target % 1 == 0).all():
        raise DataError(
            f"{source} has a target {target.name!r} of fractions, which are no classes.",
            allowed="integers, booleans or strings",
            next_step="Name another column with --target, or put the values into classes.",
        )
    is_number = pd.api.types.is_numeric_dtype(target)
    labels = target.astype(np.int64) if is_number else target.astype(str).astype(object)
    if labels.nunique() < 2:  # noqa: PLR2004
        given = f"only the class {labels.iloc[0]!r}" if len(labels) else "no rows"
        raise DataError(
            f"{source} has {given} in {target.name!r}.", allowed="two classes or more", next_step="Add rows."
        )
    return labels
