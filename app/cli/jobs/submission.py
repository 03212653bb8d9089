"""What a training job is sent with: its command line, the working directory, and where it comes from."""

import getpass
import shlex
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from app import names
from app.cli.jobs.destination import Cluster
from app.cli.jobs.ray_jobs_api import Job, Ray, Submission, Versions
from app.cli.jobs.working_dir import KEEP_OUT, Package, pack
from app.errors import DataError, MantaError
from app.settings import settings
from app.training.data.dvc import DvcLocation, is_dvc_location
from app.training.git import git_commit
from app.training.options import TrainOptions

CODE: Final = "app/train.py"
"""File whose presence in a package means that the job runs the code of the working directory."""


class VersionError(MantaError):
    """A cluster that runs on another Ray or Python than this command."""

    title = "Versions differ"


async def send(ray: Ray, cluster: Cluster, chosen: TrainOptions, job: Job) -> None:
    """Submit a training job, with the working directory where the cluster does not see it.

    Args:
        ray: The cluster's Jobs API.
        cluster: Where it is.
        chosen: Options of the job.
        job: Which one it becomes.

    Raises:
        VersionError: The cluster runs on another Ray or Python.
        PackageError: The working directory is too large.
        DataError: The data is a file that does not go along.
        PlatformError: Ray does not answer, or does not take the job.
    """
    check_versions(await ray.versions())
    folder = Path.cwd()
    package = None if cluster.is_here else pack(folder)
    wanted = make(cluster, chosen, job.id, package=package, folder=folder)
    if package is not None:
        await ray.upload(package.uri, package.content)
    await ray.submit(wanted)
    job.is_sent = True


def check_versions(there: Versions) -> None:
    """Compare what the cluster runs on with what this command runs on.

    Raises:
        VersionError: Ray differs, or Python in more than its last number.
    """
    here = Versions(rayVersion=version("ray"), pythonVersion=".".join(map(str, sys.version_info[:3])))
    python = [one.python_version.rpartition(".")[0] for one in (there, here)]
    if there.ray_version != here.ray_version or python[0] != python[1]:
        raise VersionError(
            f"The cluster runs Ray {there.ray_version} on Python {there.python_version}, and this command Ray "
            f"{here.ray_version} on Python {here.python_version}.",
            next_step="Run it from an environment like the cluster's, or send the job with `ray job submit`, which "
            "does not compare.",
        )


def make(cluster: Cluster, chosen: TrainOptions, job_id: str, *, package: Package | None, folder: Path) -> Submission:
    """Say what Ray is to run.

    Args:
        cluster: Where the job goes.
        chosen: Options of the job.
        job_id: Id that it gets.
        package: The working directory as it goes along; None where the job sees the files of this machine.
        folder: The working directory.

    Raises:
        DataError: The data is a file that does not go along.
    """
    user, commit = settings().user or getpass.getuser(), git_commit(folder)
    environment = {"MANTA_USER": user}
    runtime: dict[str, Any] = {"env_vars": environment}
    if cluster.stack:
        environment["MANTA_STACK"] = cluster.stack
    if package is not None:
        runtime["working_dir"] = package.uri
        if commit and CODE in package.files:
            environment["MANTA_GIT_COMMIT"] = commit
    chosen = _with_data(chosen, package, folder)
    return Submission(
        submission_id=job_id,
        entrypoint=shlex.join(["python", "-m", names.TRAIN_MODULE, *chosen.argv()]),
        runtime_env=runtime,
        metadata={"user": user, "stack": cluster.stack, "git_commit": commit},
    )


def _with_data(chosen: TrainOptions, package: Package | None, folder: Path) -> TrainOptions:
    """Name the data as the job finds it: by its whole path on this machine, or below the working directory."""
    if chosen.data is None or "://" in chosen.data:
        return chosen
    if is_dvc_location(chosen.data):
        return chosen.model_copy(update={"data": _location(chosen.data, package, folder)})
    path = (folder / chosen.data).resolve()
    if package is None:
        return chosen.model_copy(update={"data": str(path)})
    inside = str(path.relative_to(folder.resolve())) if path.is_relative_to(folder.resolve()) else ""
    if inside not in package.files:
        reason = "is not in the working directory" if not inside else f"is left out by {KEEP_OUT} or .gitignore"
        raise DataError(
            f"{chosen.data} {reason}, which goes to the cluster." if path.exists() else f"{chosen.data} is not there.",
            allowed="a file below the working directory that goes along, or a URL",
            next_step="Move the file, name it in the last line of the ignore file as `!PATH`, or give a URL.",
        )
    return chosen.model_copy(update={"data": inside})


def _location(data: str, package: Package | None, folder: Path) -> str:
    """A file of DVC, which is read where the repository is."""
    location = DvcLocation.parse(data)
    if package is not None:
        raise DataError(
            f"{data} is read from a DVC repository, and the cluster has none.",
            allowed="a file below the working directory that goes along, or a URL",
            next_step=f"Fetch it, and name the file with --data: dvc get . {location.path}"
            + (f" --rev {location.revision}" if location.revision else ""),
        )
    return str(replace(location, path=str((folder / location.path).absolute())))
