"""Reading and checking the rows of a data set.

`app.training.data.split` decides which rows are held out.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

import pandas as pd
from pyarrow.fs import LocalFileSystem
from sklearn import datasets
from sklearn.utils import Bunch

from app.errors import DataError, ParameterError
from app.setting_values import DvcFile
from app.settings import settings
from app.training import run_tags
from app.training.data import dvc, files, object_stores
from app.training.data.columns import ColumnRoles, rows_from_frame
from app.training.data.dataset import Dataset
from app.training.data.files import OpenedFile
from app.training.data.leaks import find_leaks
from app.training.data.object_stores import StoredPath
from app.training.data.parquet_folder import read_folder
from app.training.data.tables import GZIPPED_CSV, check_csv_head, find_ending, read_table
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
    """Read a table from this machine, over HTTP(S), from an object store, or from DVC.

    Args:
        location: Path, URL, or `dvc:PATH[@REV]`. A file's ending decides the format; a folder holds Parquet files.
        target: Column to predict; every column without a role is a feature.
        group: See `from_frame`.
        time: See `from_frame`.
        weight: See `from_frame`.

    Raises:
        DataError: The data cannot be read, is empty, does not fit the memory, or was changed while it was read; or
            its rows are not usable (see `from_frame`).
    """
    frame, tags = _read(location)
    name = PurePosixPath(_path_of(location)).name or location
    dataset = from_frame(frame, target=target, name=name, source=location, group=group, time=time, weight=weight)
    return replace(dataset, tags=dataset.tags | tags)


def is_local(location: str) -> bool:
    """Whether a location is a path on this machine, whether or not it exists."""
    return "://" not in location and not dvc.is_dvc_location(location)


def is_local_file(source: str) -> bool:
    """Whether the source of a data set is a file or a folder on this machine."""
    return Path(source).exists()


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


def _read(location: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the table at a location, and additional tags of the run."""
    sent = settings().dvc_file if dvc.is_dvc_location(location) else None
    place = location if sent is None else sent.location
    stored = object_stores.find(place) if object_stores.is_object_store(place) else None
    if stored is not None and stored.is_folder:
        return read_folder(stored.filesystem, stored.path, source=location), {}
    if is_local(location) and Path(location).is_dir():
        return read_folder(LocalFileSystem(), str(Path(location).resolve()), source=location), {}
    ending = find_ending(_path_of(location))
    with _open(place, stored, ending) as opened:
        tags = opened.tags if sent is None else _check_sent_file(opened, sent, location)
        return read_table(opened.file, ending, source=location), tags


def _open(location: str, stored: StoredPath | None, ending: str) -> AbstractContextManager[OpenedFile]:
    """Open a file on this machine, or a copy of a file from elsewhere."""
    check_head = partial(check_csv_head, ending=ending, source=location)
    if stored is not None:
        return object_stores.open_stored(stored, check_head=check_head)
    if dvc.is_dvc_location(location):
        return files.open_dvc(location)
    if location.lower().startswith(("http://", "https://")):
        return files.open_url(location, is_compressed=ending == GZIPPED_CSV, check_head=check_head)
    if is_local(location):
        return files.open_local(Path(location))
    raise DataError(
        f"The URL scheme of {location} is not supported.",
        allowed=f"http, https, {', '.join(object_stores.SCHEMES)}, or a path on this machine",
        next_step="Copy the data to one of these places.",
    )


def _check_sent_file(opened: OpenedFile, sent: DvcFile, location: str) -> dict[str, str]:
    """Compare a file with the hash that DVC records, and return the tags of the run."""
    if dvc.copy_content(opened.file, None) != sent.md5:
        raise DataError(
            f"The content of {location} at {sent.location} does not match the hash that DVC records, {sent.md5}.",
            next_step="Run dvc push where the file was added.",
        )
    opened.file.seek(0)
    return {run_tags.DATA_REVISION: sent.revision, run_tags.DATA_MD5: sent.md5}


def _path_of(location: str) -> str:
    """Return the path in a location, without the URL's host and query or the DVC revision."""
    if dvc.is_dvc_location(location):
        return dvc.DvcLocation.parse(location).path
    return urlsplit(location).path if "://" in location else location
