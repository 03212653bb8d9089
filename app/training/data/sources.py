"""Reading and checking the rows of a data set.

`app.training.data.split` decides which rows are held out.
"""

import io
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import pandas as pd
from sklearn import datasets
from sklearn.utils import Bunch

from app.errors import DataError, ParameterError
from app.training import run_tags
from app.training.data import dvc
from app.training.data.columns import ColumnRoles, rows_from_frame
from app.training.data.dataset import Dataset
from app.training.data.leaks import find_leaks
from app.training.data.targets import task_of

BUNDLED_DATASETS: Final[dict[str, Callable[..., Bunch]]] = {
    "breast-cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
}
"""The data sets that ship with scikit-learn, by the name that `--dataset` takes."""

TAG_LENGTH: Final = 500
"""Longest tag. MLflow cuts longer ones, or refuses them, depending on its version."""

log = logging.getLogger("manta.train")

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
    is_labelled = "target_names" in bunch
    target = bunch.target_names[bunch.target.to_numpy()] if is_labelled else bunch.target
    frame = bunch.data.assign(target=target)
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


def read_file(
    location: str, *, target: str, group: str | None = None, time: str | None = None, weight: str | None = None
) -> Dataset:
    """Read a CSV or Parquet file from this machine, over HTTP(S), or from DVC.

    Args:
        location: Path, URL, or `dvc:PATH[@REV]`; the file ending decides the format (`READERS`).
        target: Column to predict; every column without a role is a feature.
        group: See `from_frame`.
        time: See `from_frame`.
        weight: See `from_frame`.

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
    dataset = from_frame(
        frame, target=target, name=Path(path).name, source=location, group=group, time=time, weight=weight
    )
    return replace(dataset, tags=dataset.tags | tags)


def is_local_file(source: str) -> bool:
    """Whether the source of a data set is a file on this machine."""
    return Path(source).is_file()


def from_frame(
    frame: pd.DataFrame,
    *,
    target: str,
    name: str,
    source: str,
    group: str | None = None,
    time: str | None = None,
    weight: str | None = None,
) -> Dataset:
    """Check a table and make a data set of it. A feature that gives the target away is logged, and is a tag of the run.

    Args:
        frame: One example per row: the target column, and one or more columns of features.
        target: Column with the labels, or with the numbers to predict.
        name: Name of the data set in the run.
        source: File, URL or function that the table comes from.
        group: Column with the groups that a split never divides.
        time: Column with times, of which the newest are held out.
        weight: Column with the weights of the rows.

    Raises:
        DataError: A column is missing or unusable; the message names it.
        ParameterError: One column has two roles.
    """
    roles = ColumnRoles(target=target, group=group, time=time, weight=weight)
    rows = rows_from_frame(frame, roles, source=source)
    leaks = find_leaks(rows, task_of(rows.target))
    if leaks:
        log.warning(
            "%s: the columns %s give the target %s away: each of their values stands for one value of the target. Drop "
            "them, unless they are known before the target is.",
            name,
            ", ".join(leaks),
            target,
        )
    tags = {run_tags.DATA_LEAKS: ", ".join(leaks)[:TAG_LENGTH]} if leaks else {}
    return Dataset(name=name, source=source, rows=rows, tags=tags)


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
