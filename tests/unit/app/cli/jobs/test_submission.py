import shlex
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from app.cli.destination import Destination
from app.cli.endpoints import Endpoints
from app.cli.jobs import submission
from app.cli.jobs.driver import DriverResources
from app.cli.jobs.ray_jobs_api import ClusterVersions, JobSubmitRequest
from app.cli.jobs.submission import VersionMismatchError
from app.cli.jobs.working_dir import WorkingDir
from app.errors import DataError
from app.settings import settings
from app.training.git import git_commit
from app.training.options import TrainOptions

ROOT = Path(__file__).parents[5]
LOCAL = Destination(endpoints=Endpoints(), name="local", is_local=True)
STACK = Destination(endpoints=Endpoints(), name="remote", stack="prod")
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.delenv("MANTA_USER", raising=False)
    settings.cache_clear()


def packed(*files: str) -> WorkingDir:
    return WorkingDir(uri="gcs://_ray_pkg_1.zip", content=b"", files=frozenset(files))


def build_request(
    destination: Destination,
    folder: Path,
    *files: str,
    data: str | None = None,
    is_packed: bool = True,
    driver: DriverResources = DriverResources(),  # noqa: B008 - it is immutable
) -> JobSubmitRequest:
    options = TrainOptions(data=data, target="sold" if data else None, trees=7)
    working_dir = packed(*files) if is_packed else None
    return submission.build_request(
        destination, options, "manta-1", driver=driver, working_dir=working_dir, folder=folder
    )


@pytest.mark.parametrize("destination", [LOCAL, STACK])
def test_the_prediction_log_is_no_file_of_the_folder(destination: Destination, tmp_path: Path) -> None:
    assert "--data log:30d" in build_request(destination, tmp_path, data="log:30d").entrypoint


def test_the_driver_reserves_a_little_cpu_and_memory_so_that_it_runs_on_a_worker(tmp_path: Path) -> None:
    job_request = build_request(STACK, tmp_path)

    assert (job_request.entrypoint_num_cpus, job_request.entrypoint_memory) == (0.01, 768 * 2**20)
    assert "MANTA_DRIVER_MEMORY" not in job_request.runtime_env["env_vars"]


def test_the_memory_that_the_user_reserves_is_a_limit_for_the_data(tmp_path: Path) -> None:
    job_request = build_request(STACK, tmp_path, driver=DriverResources(cpus=2, memory="4Gi"))

    assert (job_request.entrypoint_num_cpus, job_request.entrypoint_memory) == (2, 4 * 2**30)
    assert job_request.runtime_env["env_vars"]["MANTA_DRIVER_MEMORY"] == str(4 * 2**30)


def test_a_job_for_a_stack_has_its_working_directory_user_and_stack(tmp_path: Path) -> None:
    job_request = build_request(STACK, tmp_path, "houses.csv", data="houses.csv")

    assert job_request.submission_id == "manta-1"
    assert job_request.entrypoint == "python -m app.train --data houses.csv --target sold --trees 7"
    assert job_request.runtime_env == {
        "working_dir": "gcs://_ray_pkg_1.zip",
        "env_vars": {"MANTA_USER": "somebody", "MANTA_STACK": "prod"},
    }
    assert job_request.metadata == {"user": "somebody", "stack": "prod", "git_commit": ""}


def test_the_commit_is_recorded_only_for_code_of_the_working_directory() -> None:
    with_code, without_code = build_request(STACK, ROOT, "app/train.py"), build_request(STACK, ROOT, "houses.csv")

    commit = git_commit(ROOT)
    assert len(commit.removesuffix("-dirty")) == 40
    assert with_code.runtime_env["env_vars"]["MANTA_GIT_COMMIT"] == commit
    assert "MANTA_GIT_COMMIT" not in without_code.runtime_env["env_vars"]
    assert with_code.metadata["git_commit"] == without_code.metadata["git_commit"] == commit


def test_a_retraining_names_the_judgement_that_began_it(tmp_path: Path) -> None:
    job_request = submission.build_request(
        STACK,
        TrainOptions(),
        "manta-1",
        driver=DriverResources(),
        working_dir=None,
        folder=tmp_path,
        judgement="0123",
    )

    assert job_request.runtime_env["env_vars"]["MANTA_RETRAIN_JUDGEMENT"] == "0123"
    assert "MANTA_RETRAIN_JUDGEMENT" not in build_request(STACK, tmp_path).runtime_env["env_vars"]


def test_a_job_on_this_machine_reads_data_at_its_absolute_path(tmp_path: Path) -> None:
    job_request = build_request(LOCAL, tmp_path, data="../a b.csv", is_packed=False)

    assert "working_dir" not in job_request.runtime_env
    assert shlex.split(job_request.entrypoint)[4] == str(tmp_path.parent / "a b.csv")


def test_a_url_of_data_is_not_changed(tmp_path: Path) -> None:
    url = "https://example.com/houses.csv"

    assert url in build_request(STACK, tmp_path, data=url).entrypoint


def test_a_job_on_this_machine_reads_dvc_data_at_its_absolute_path(tmp_path: Path) -> None:
    job_request = build_request(LOCAL, tmp_path, data="dvc:a b.csv@v1", is_packed=False)

    assert shlex.split(job_request.entrypoint)[4] == f"dvc:{tmp_path}/a b.csv@v1"


def test_a_job_on_a_cluster_gets_the_place_of_dvc_data_beside_its_location(tmp_path: Path) -> None:
    working_dir = replace(packed("manta-dvc-data/houses.csv"), env_vars={"MANTA_DVC_FILE": "{}"})
    options = TrainOptions(data="dvc:houses.csv@v1", target="sold")

    job_request = submission.build_request(
        STACK, options, "manta-1", driver=DriverResources(), working_dir=working_dir, folder=tmp_path
    )

    assert job_request.entrypoint == "python -m app.train --data dvc:houses.csv@v1 --target sold"
    assert job_request.runtime_env["env_vars"]["MANTA_DVC_FILE"] == "{}"


@pytest.mark.parametrize("data", ["data.py:load", "folder", "./folder/"])
def test_a_data_function_and_a_folder_of_the_working_directory_go_with_the_job(tmp_path: Path, data: str) -> None:
    job_request = build_request(STACK, tmp_path, "data.py", "folder/year=2026/a.parquet", data=data)

    assert shlex.split(job_request.entrypoint)[4] == data.strip("./")


def test_a_data_function_on_this_machine_has_an_absolute_path(tmp_path: Path) -> None:
    job_request = build_request(LOCAL, tmp_path, data="data.py:load", is_packed=False)

    assert shlex.split(job_request.entrypoint)[4] == f"{tmp_path}/data.py:load"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("excluded.csv", "excluded by .rayignore"),
        ("nowhere.csv", "does not exist"),
        ("../outside.csv", "is not in the working directory"),
    ],
)
def test_a_data_file_that_is_not_packed_is_refused(tmp_path: Path, data: str, message: str) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "excluded.csv").touch()
    (tmp_path / "outside.csv").touch()

    with pytest.raises(DataError, match=message):
        build_request(STACK, folder, "other.csv", data=data)


@pytest.mark.parametrize(("ray", "python"), [("2.9.0", f"{MINOR}.1"), (version("ray"), "3.8.1")])
def test_a_cluster_with_another_ray_or_python_is_refused_with_both_versions(ray: str, python: str) -> None:
    with pytest.raises(VersionMismatchError) as error:
        submission.check_versions(ClusterVersions(rayVersion=ray, pythonVersion=python))

    for number in (ray, python, version("ray"), MINOR):
        assert number in str(error.value)


def test_the_patch_version_of_python_may_differ() -> None:
    submission.check_versions(ClusterVersions(rayVersion=version("ray"), pythonVersion=f"{MINOR}.99"))
