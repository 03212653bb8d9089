"""Submits a training job: checks the cluster's versions, uploads the working directory, sends the request."""

import getpass
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from app import names
from app.cli.destination import Destination
from app.cli.jobs.driver import DriverResources
from app.cli.jobs.dvc_data import add_dvc_data
from app.cli.jobs.job import Job
from app.cli.jobs.ray_jobs_api import ClusterVersions, JobSubmitRequest, RayJobsApi
from app.cli.jobs.working_dir import IGNORE_FILE, WorkingDir, pack
from app.cli.json_object import JsonObject
from app.errors import DataError, MantaError
from app.settings import settings
from app.training.data.dvc import DvcLocation, is_dvc_location
from app.training.data.log_location import is_log
from app.training.git import git_commit
from app.training.models.location import split_location
from app.training.options import TrainOptions

TRAIN_SCRIPT: Final = "app/train.py"
"""If the packed working directory contains this file, the job runs the code of the working directory."""


class VersionMismatchError(MantaError):
    """The cluster runs another version of Ray or Python than this command."""

    title = "Versions differ"


async def submit(
    api: RayJobsApi,
    destination: Destination,
    options: TrainOptions,
    job: Job,
    *,
    driver: DriverResources,
    report: Callable[[str], None],
) -> None:
    """Submit a training job. The working directory is uploaded unless the cluster runs on this machine.

    Args:
        api: Jobs API of the cluster.
        destination: The cluster.
        options: Options of the training run.
        job: Gives the job its id; it is marked as submitted.
        driver: What the job's driver reserves on a worker.
        report: Receives one line if the job must wait for Ray's job agent.

    Raises:
        VersionMismatchError: The cluster runs another version of Ray or Python.
        WorkingDirError: The working directory is too large.
        DataError: The data is a local file that is not part of the packed working directory.
        PlatformError: Ray does not answer, or refuses the job.
    """
    check_versions(await api.versions())
    folder = Path.cwd()
    working_dir = None if destination.is_local else add_dvc_data(pack(folder), options.data, folder)
    request = build_request(destination, options, job.id, driver=driver, working_dir=working_dir, folder=folder)
    if working_dir is not None:
        await api.upload(working_dir.uri, working_dir.content)
    await api.submit(request, report=report)
    job.is_submitted = True


def check_versions(cluster: ClusterVersions) -> None:
    """Compare the cluster's versions of Ray and Python with those of this command.

    Raises:
        VersionMismatchError: Ray differs, or the minor version of Python differs.
    """
    local = ClusterVersions(rayVersion=version("ray"), pythonVersion=".".join(map(str, sys.version_info[:3])))
    if cluster.ray_version != local.ray_version or cluster.python_minor_version != local.python_minor_version:
        raise VersionMismatchError(
            f"The cluster runs Ray {cluster.ray_version} on Python {cluster.python_version}. This command runs Ray "
            f"{local.ray_version} on Python {local.python_version}.",
            next_step="Use a Python environment with the cluster's versions, or submit the job with "
            "`ray job submit`, which does not compare versions.",
        )


def build_request(
    destination: Destination,
    options: TrainOptions,
    job_id: str,
    *,
    driver: DriverResources,
    working_dir: WorkingDir | None,
    folder: Path,
    judgement: str = "",
) -> JobSubmitRequest:
    """Build the request that submits a training job.

    Args:
        destination: The cluster.
        options: Options of the training run.
        job_id: Id of the job.
        driver: What the job's driver reserves on a worker.
        working_dir: The packed working directory; None if the job sees the files of this machine.
        folder: The working directory.
        judgement: Run of the judgement of drift that began the training; empty if a person began it.

    Raises:
        DataError: The data is a local file that is not part of the packed working directory.
    """
    user, commit = settings().user or getpass.getuser(), git_commit(folder)
    env_vars = {"MANTA_USER": user}
    runtime_env: JsonObject = {"env_vars": env_vars}
    if destination.stack:
        env_vars["MANTA_STACK"] = destination.stack
    if judgement:
        env_vars["MANTA_RETRAIN_JUDGEMENT"] = judgement
    if driver.memory:
        env_vars["MANTA_DRIVER_MEMORY"] = str(driver.memory_bytes)
    if working_dir is not None:
        runtime_env["working_dir"] = working_dir.uri
        env_vars |= working_dir.env_vars
        if commit and (TRAIN_SCRIPT in working_dir.files or options.model is not None):
            env_vars["MANTA_GIT_COMMIT"] = commit
    options = _with_model_of_job(_with_data_of_job(options, working_dir, folder), working_dir, folder)
    return JobSubmitRequest(
        submission_id=job_id,
        entrypoint=shlex.join(["python", "-m", names.TRAIN_MODULE, *options.argv()]),
        entrypoint_num_cpus=driver.cpus,
        entrypoint_memory=driver.memory_bytes,
        runtime_env=runtime_env,
        metadata={"user": user, "stack": destination.stack, "git_commit": commit},
    )


def _with_data_of_job(options: TrainOptions, working_dir: WorkingDir | None, folder: Path) -> TrainOptions:
    """Replace the path of the data by the path that the job must use.

    The path is absolute for a job on this machine, and relative to the working directory for any other job.
    """
    if options.data is None or "://" in options.data or is_log(options.data):
        return options
    if is_dvc_location(options.data):
        location = DvcLocation.parse(options.data)
        if working_dir is None:
            location = replace(location, path=str((folder / location.path).absolute()))
        return options.model_copy(update={"data": str(location)})
    file, function = split_location(options.data)
    path = _path_of_job(Path(file), working_dir, folder, alternatives=" or a URL")
    return options.model_copy(update={"data": f"{path}:{function}" if function else path})


def _with_model_of_job(options: TrainOptions, working_dir: WorkingDir | None, folder: Path) -> TrainOptions:
    """Replace the path of the model's file by the path that the job must use."""
    if options.model is None:
        return options
    file, function = split_location(options.model)
    path = _path_of_job(Path(file), working_dir, folder)
    return options.model_copy(update={"model": f"{path}:{function}" if function else path})


def _path_of_job(file: Path, working_dir: WorkingDir | None, folder: Path, *, alternatives: str = "") -> str:
    """Return the path of a local file for the job: absolute on this machine, else relative to the working directory.

    Args:
        file: The file, absolute or relative to `folder`.
        working_dir: The packed working directory; None if the job sees the files of this machine.
        folder: The working directory.
        alternatives: Other sources that are allowed, as the end of the sentence in the error.

    Raises:
        DataError: The file is not part of the packed working directory.
    """
    path = (folder / file).resolve()
    if working_dir is None:
        return str(path)
    is_inside = path.is_relative_to(folder.resolve())
    relative_path = str(path.relative_to(folder.resolve())) if is_inside else ""
    is_folder = any(name.startswith(f"{relative_path}/") for name in working_dir.files)
    if relative_path not in working_dir.files and not (is_inside and is_folder):
        reason = f"is excluded by {IGNORE_FILE} or .gitignore" if is_inside else "is not in the working directory"
        raise DataError(
            f"{file} {reason}, so the cluster cannot read it." if path.exists() else f"{file} does not exist.",
            allowed=f"a file in the working directory that is not excluded{alternatives and ',' + alternatives}",
            next_step="Move the file, or add the last line `!PATH` to the ignore file"
            + (", or give a URL." if alternatives else "."),
        )
    return relative_path
