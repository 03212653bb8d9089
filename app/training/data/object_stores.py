"""Files and folders in object stores, by pyarrow's file systems and the identity of this process.

`app.training.data.tables` parses the files, and `app.training.data.parquet_folder` the folders.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
from pyarrow import fs

from app.errors import DataError, first_line
from app.training.data.files import CHUNK_BYTES, HeadCheck, OpenedFile, changed_error, copy_chunks

SCHEMES: Final = ("s3", "gs", "gcs", "abfs", "abfss")
"""URL schemes of object stores."""

GOOGLE_RETRY_S: Final = "retry_limit_seconds=30"
"""Parameter of a `gs://` URL, added if it is missing. pyarrow retries for 15 minutes by default."""

NEXT_STEP: Final = (
    "Check the URL, and that the identity of the job may read it: the role of the pods' service account on a cluster, "
    "else the credentials in the environment."
)


@dataclass(frozen=True, kw_only=True)
class StoredPath:
    """A file or a folder in an object store."""

    url: str
    filesystem: Any
    """A pyarrow file system; pyarrow has no types."""
    path: str
    is_folder: bool


def is_object_store(location: str) -> bool:
    """Whether a location is a URL of an object store."""
    return "://" in location and location.partition("://")[0].lower() in SCHEMES


def find(url: str) -> StoredPath:
    """Connect to an object store, and find a file or a folder.

    Args:
        url: `s3://BUCKET/PATH`, `gs://BUCKET/PATH` or `abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH`, with
            pyarrow's parameters, such as `?region=` or `?endpoint_override=`.

    Raises:
        DataError: The URL holds credentials or is not valid, the store does not answer or refuses the access, or
            there is no such file.
    """
    _refuse_credentials(url)
    with _store_errors(url):
        filesystem, path = fs.FileSystem.from_uri(_with_time_limit(url))
        info = filesystem.get_file_info(path)
    if info.type == fs.FileType.NotFound:
        raise DataError(f"{_without_query(url)} does not exist.", next_step="Check bucket and path.")
    return StoredPath(url=url, filesystem=filesystem, path=path, is_folder=info.type == fs.FileType.Directory)


@contextmanager
def open_stored(stored: StoredPath, *, check_head: HeadCheck) -> Iterator[OpenedFile]:
    """Copy a file from an object store, and open the copy.

    Raises:
        DataError: The file cannot be read, or was changed while it was read.
    """
    with tempfile.TemporaryFile(prefix="manta-data-") as file:
        with _store_errors(stored.url):
            before = _state(stored)
            with stored.filesystem.open_input_stream(stored.path, compression=None) as stream:
                copied_bytes = copy_chunks(
                    iter(partial(stream.read, CHUNK_BYTES), b""),
                    file,
                    source=stored.url,
                    size_bytes=before[0],
                    check_head=check_head,
                )
            if copied_bytes != before[0] or _state(stored) != before:
                raise changed_error(stored.url)
        file.seek(0)
        yield OpenedFile(file=file)


def _state(stored: StoredPath) -> tuple[int, int | None, object]:
    """Return size, time of the last change, and entity tag of a file."""
    info = stored.filesystem.get_file_info(stored.path)
    with stored.filesystem.open_input_stream(stored.path, compression=None) as stream:
        metadata = stream.metadata() or {}
    return info.size or 0, info.mtime_ns, metadata.get("ETag")


@contextmanager
def _store_errors(url: str) -> Iterator[None]:
    """Turn the errors of pyarrow's file systems into errors of the data."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{_without_query(url)} cannot be read: {first_line(error)}", next_step=NEXT_STEP) from error


def _refuse_credentials(url: str) -> None:
    """Refuse secrets in a URL: the run records the URL, and Ray's dashboard shows it."""
    parts = urlsplit(url)
    secrets = {"access_key", "secret_key", "session_token"} & parse_qs(parts.query).keys()
    if parts.password or secrets:
        raise DataError(
            f"The URL of {parts.scheme}://{parts.hostname}{parts.path} holds credentials, which the run would record.",
            allowed="a URL without keys and passwords",
            next_step="Give the job an identity: a role of the pods' service account, or environment variables.",
        )


def _with_time_limit(url: str) -> str:
    if not url.lower().startswith(("gs://", "gcs://")) or "retry_limit_seconds" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}{GOOGLE_RETRY_S}"


def _without_query(url: str) -> str:
    return url.partition("?")[0]
