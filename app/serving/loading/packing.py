"""Prepared files as bytes, for a message to another replica.

The first line holds names and sizes as JSON. The contents follow.
"""

import json
from pathlib import Path
from typing import Final

from app.errors import ModelRefusedError
from app.serving.loading import files

MAX_PACKED_BYTES: Final = 512 * 2**20
"""Maximum size of the files that are sent to another replica. Ray copies a message several times."""

MAX_HEADER_BYTES: Final = 1000


def pack(folder: Path, *, label: str) -> bytes:
    """Pack the prepared files of a version.

    Args:
        folder: The files.
        label: Name of the version in error messages.

    Raises:
        ModelRefusedError: The files are too large or cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
        sizes = [path.stat().st_size for path in paths]
        if sum(sizes) > MAX_PACKED_BYTES:
            raise ModelRefusedError(
                f"The files of {label} have {sum(sizes):,} bytes, which is too much for a message.",
                allowed=f"{MAX_PACKED_BYTES:,} bytes",
                next_step="Check that MLflow answers, so that the replica can download the version.",
            )
        header = json.dumps([[path.name, size] for path, size in zip(paths, sizes, strict=True)]).encode()
        return b"".join([header, b"\n", *(path.read_bytes() for path in paths)])
    except OSError as error:
        raise ModelRefusedError(f"The files of {label} cannot be read: {error}") from error


def unpack(content: bytes, folder: Path) -> None:
    """Write packed files into a folder that does not exist yet.

    Args:
        content: The result of `pack` on another replica; not trusted.
        folder: The folder.

    Raises:
        ValueError: The content is damaged.
        OSError: The files cannot be written.
    """
    end = content.find(b"\n", 0, MAX_HEADER_BYTES)
    if end < 0 or len(content) > MAX_PACKED_BYTES + MAX_HEADER_BYTES:
        raise ValueError("its first line is missing, or it is too large")
    entries = json.loads(content[:end])
    names = [name for name, _ in entries]
    sizes = [size for _, size in entries]
    if len(set(names)) != len(names) or not files.NAMES.issuperset(names):
        raise ValueError("it holds files of another kind")
    if any(type(size) is not int or size < 0 for size in sizes) or end + 1 + sum(sizes) != len(content):
        raise ValueError("the sizes of its files are wrong")
    folder.mkdir()
    view, start = memoryview(content), end + 1
    for name, size in zip(names, sizes, strict=True):
        (folder / name).write_bytes(view[start : start + size])
        start += size
