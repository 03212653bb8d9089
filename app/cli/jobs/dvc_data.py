"""Data of a DVC repository for a job on a cluster, which has no copy of the repository.

A file that fits the package of the working directory is sent with it. A larger file is named by its URL in DVC's remote
storage, which the job reads by an identity of its own.
"""

import io
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from app.cli.jobs.working_dir import MAX_BYTES, WorkingDir
from app.errors import DataError
from app.setting_values import DvcFile
from app.training import run_tags
from app.training.data import dvc
from app.training.data.dvc import DvcLocation
from app.training.data.object_stores import SCHEMES

SENT_FOLDER: Final = "manta-dvc-data"
"""Folder of the package with the file."""

READABLE_SCHEMES: Final = ("http", "https", *SCHEMES)
"""URL schemes that a job can read."""


def add_dvc_data(working_dir: WorkingDir, data: str | None, folder: Path) -> WorkingDir:
    """Return a working directory with the file that `--data dvc:PATH[@REV]` names, or with its URL.

    Args:
        working_dir: The packed working directory.
        data: The value of `--data`. A location that is not in a DVC repository changes nothing.
        folder: The working directory.

    Raises:
        DataError: DVC cannot read the file; or the file is too large for the package, and its remote storage is of a
            kind that a job cannot read.
    """
    if data is None or not dvc.is_dvc_location(data):
        return working_dir
    location = DvcLocation.parse(data)
    absolute_location = str(replace(location, path=str((folder / location.path).absolute())))
    if dvc.size_of(absolute_location) + len(working_dir.content) <= MAX_BYTES:
        content = io.BytesIO()
        tags = dvc.copy(absolute_location, content)
        name = f"{SENT_FOLDER}/{PurePosixPath(location.path).name}"
        return _with_dvc_file(working_dir.with_file(name, content.getvalue()), name, tags)
    url, tags = dvc.find_remote(absolute_location)
    if not url.startswith(tuple(f"{scheme}://" for scheme in READABLE_SCHEMES)):
        raise DataError(
            f"{data} is too large to be sent with the job, and the cluster cannot read the DVC storage {url}.",
            allowed=f"up to {MAX_BYTES / 1e6:.0f} MB with the working directory, or storage with a URL of "
            f"{', '.join(READABLE_SCHEMES)}",
            next_step="Put the file where the cluster can read it, and give its URL as --data.",
        )
    return _with_dvc_file(working_dir, url, tags)


def _with_dvc_file(working_dir: WorkingDir, location: str, tags: dict[str, str]) -> WorkingDir:
    file = DvcFile(location=location, md5=tags[run_tags.DATA_MD5], revision=tags[run_tags.DATA_REVISION])
    return replace(working_dir, env_vars=working_dir.env_vars | {"MANTA_DVC_FILE": file.model_dump_json()})
