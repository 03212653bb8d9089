"""Files of training data: opened on this machine, or copied to this machine from a URL or a DVC repository.

A file is read as one consistent content. `app.training.data.object_stores` reads from object stores, and
`app.training.data.tables` parses the files.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import httpx

from app.errors import DataError, cause
from app.training.data import dvc

DOWNLOAD_TIMEOUT_S: Final = 60.0
"""Timeout for each read from the server of a URL."""

MAX_DISK_SHARE: Final = 0.5
"""Largest share of the free disk that a download may fill. Ray ends processes on a disk that is nearly full."""

HEAD_BYTES: Final = 2**20
"""Size of the first part of a file that the check of its size reads."""

CHUNK_BYTES: Final = 8 * 2**20
"""Size of the parts in which a file is copied."""

HeadCheck = Callable[[bytes, int], None]
"""Called with the first bytes of a file and its size, before the rest is copied. It may raise an error."""


@dataclass(frozen=True, kw_only=True)
class OpenedFile:
    """A file on this machine, positioned at its start."""

    file: BinaryIO
    tags: dict[str, str] = field(default_factory=dict)
    """Additional tags of the run."""


@contextmanager
def open_local(path: Path) -> Iterator[OpenedFile]:
    """Open a file, and check at the end that no other process changed it meanwhile.

    Raises:
        DataError: The file cannot be read, or was changed while it was read.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", next_step="Give the path of a readable file."
        ) from error
    with file:
        before = _state(file)
        try:
            yield OpenedFile(file=file)
        finally:
            # An error of the parser is replaced, because the change is its probable cause.
            if _state(file) != before:
                raise changed_error(str(path))


@contextmanager
def open_dvc(location: str) -> Iterator[OpenedFile]:
    """Copy a file from DVC's cache or remote storage, and open the copy. See `app.training.data.dvc.copy`."""
    with tempfile.TemporaryFile(prefix="manta-data-") as file:
        tags = dvc.copy(location, file)
        file.seek(0)
        yield OpenedFile(file=file, tags=tags)


@contextmanager
def open_url(url: str, *, is_compressed: bool, check_head: HeadCheck) -> Iterator[OpenedFile]:
    """Download a file over HTTP(S), and open the copy.

    Args:
        url: The URL. Redirects are followed.
        is_compressed: Whether the file itself is compressed, so that its bytes are kept if the server calls that an
            encoding of the response.
        check_head: Called only if the server gives the size of the file.

    Raises:
        DataError: The server does not answer, answers with an error, or closes the connection too early; or the file
            is too large for the disk.
    """
    # Without a content encoding, the size that the server gives is the size of the file.
    headers = {"Accept-Encoding": "identity"}
    with tempfile.TemporaryFile(prefix="manta-data-") as file:
        try:
            with httpx.stream(
                "GET", url, headers=headers, timeout=DOWNLOAD_TIMEOUT_S, follow_redirects=True
            ) as response:
                response.raise_for_status()
                size = response.headers.get("Content-Length", "")
                chunks = response.iter_raw(CHUNK_BYTES) if is_compressed else response.iter_bytes(CHUNK_BYTES)
                is_known = size.isdigit() and "Content-Encoding" not in response.headers
                copy_chunks(chunks, file, source=url, size_bytes=int(size) if is_known else None, check_head=check_head)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DataError(
                f"{url} cannot be fetched: {cause(error)}.", next_step="Check the URL, or download the file first."
            ) from error
        file.seek(0)
        yield OpenedFile(file=file)


def copy_chunks(
    chunks: Iterable[bytes], file: BinaryIO, *, source: str, size_bytes: int | None, check_head: HeadCheck
) -> int:
    """Write chunks into a file, and return their size in bytes.

    Args:
        chunks: The content.
        file: The copy.
        source: Where the content comes from, for error messages.
        size_bytes: Size of the whole content; None if it is not known.
        check_head: Called once with the first bytes if the size is known.

    Raises:
        DataError: The content is too large for the disk.
    """
    limit_bytes = int(shutil.disk_usage(tempfile.gettempdir()).free * MAX_DISK_SHARE)
    copied_bytes = 0
    for chunk in chunks:
        if copied_bytes == 0 and size_bytes is not None:
            check_head(chunk[:HEAD_BYTES], size_bytes)
        copied_bytes += len(chunk)
        if max(copied_bytes, size_bytes or 0) > limit_bytes:
            raise DataError(
                f"{source} is too large for the disk.",
                allowed=f"up to {limit_bytes / 2**30:.1f} GiB, half of what is free",
                next_step="Give a part of the data, or Parquet instead of CSV.",
            )
        file.write(chunk)
    return copied_bytes


def changed_error(source: str) -> DataError:
    """Return the error for data that another process changed while it was read."""
    return DataError(
        f"{source} was changed by another process while it was read.",
        next_step="Start the training again when the data is complete. Write new data under a new name, and rename it.",
    )


def _state(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
