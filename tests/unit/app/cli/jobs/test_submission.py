import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from app.cli.endpoints import Target
from app.cli.jobs import submission
from app.cli.jobs.destination import Cluster
from app.cli.jobs.ray_jobs_api import Submission, Versions
from app.cli.jobs.submission import VersionError
from app.cli.jobs.working_dir import Package
from app.errors import DataError
from app.settings import settings
from app.training.git import git_commit
from app.training.options import TrainOptions

ROOT = Path(__file__).parents[5]
HERE = Cluster(target=Target(), name="here", is_here=True)
STACK = Cluster(target=Target(), name="there", stack="prod")
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.delenv("MANTA_USER", raising=False)
    settings.cache_clear()


def packed(*files: str) -> Package:
    return Package(uri="gcs://_ray_pkg_1.zip", content=b"", files=frozenset(files))


def made(cluster: Cluster, folder: Path, *files: str, data: str | None = None, is_packed: bool = True) -> Submission:
    chosen = TrainOptions(data=data, target="sold" if data else None, trees=7)
    return submission.make(cluster, chosen, "manta-1", package=packed(*files) if is_packed else None, folder=folder)


def test_a_job_for_a_stack_brings_its_files_and_says_where_it_comes_from(tmp_path: Path) -> None:
    wanted = made(STACK, tmp_path, "houses.csv", data="houses.csv")

    assert wanted.submission_id == "manta-1"
    assert wanted.entrypoint == "python -m app.train --data houses.csv --target sold --trees 7"
    assert wanted.runtime_env == {
        "working_dir": "gcs://_ray_pkg_1.zip",
        "env_vars": {"MANTA_USER": "somebody", "MANTA_STACK": "prod"},
    }
    assert wanted.metadata == {"user": "somebody", "stack": "prod", "git_commit": ""}


def test_the_commit_of_code_that_goes_along_is_told_to_the_run() -> None:
    with_code, without = made(STACK, ROOT, "app/train.py"), made(STACK, ROOT, "houses.csv")

    commit = git_commit(ROOT)
    assert len(commit.removesuffix("-dirty")) == 40
    assert with_code.runtime_env["env_vars"]["MANTA_GIT_COMMIT"] == commit
    assert "MANTA_GIT_COMMIT" not in without.runtime_env["env_vars"]
    assert with_code.metadata["git_commit"] == without.metadata["git_commit"] == commit


def test_a_job_for_this_machine_reads_its_files_where_they_lie(tmp_path: Path) -> None:
    wanted = made(HERE, tmp_path, data="../a b.csv", is_packed=False)

    assert "working_dir" not in wanted.runtime_env
    assert shlex.split(wanted.entrypoint)[4] == str(tmp_path.parent / "a b.csv")


def test_data_by_address_is_left_alone(tmp_path: Path) -> None:
    url = "https://example.com/houses.csv"

    assert url in made(STACK, tmp_path, data=url).entrypoint


def test_data_of_dvc_is_read_where_its_repository_is(tmp_path: Path) -> None:
    wanted = made(HERE, tmp_path, data="dvc:a b.csv@v1", is_packed=False)

    assert shlex.split(wanted.entrypoint)[4] == f"dvc:{tmp_path}/a b.csv@v1"


def test_data_of_dvc_is_not_promised_to_a_cluster_without_its_repository(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dvc get \. houses\.csv --rev v1"):
        made(STACK, tmp_path, "houses.csv.dvc", data="dvc:houses.csv@v1")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("left-out.csv", "left out by .rayignore"),
        ("nowhere.csv", "is not there"),
        ("../outside.csv", "is not in the working directory"),
    ],
)
def test_data_that_does_not_go_along_is_refused_before_anything_is_sent(tmp_path: Path, data: str, said: str) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "left-out.csv").touch()
    (tmp_path / "outside.csv").touch()

    with pytest.raises(DataError, match=said):
        made(STACK, folder, "other.csv", data=data)


@pytest.mark.parametrize(("ray", "python"), [("2.9.0", f"{MINOR}.1"), (version("ray"), "3.8.1")])
def test_a_cluster_of_another_ray_or_python_is_refused_with_both_versions(ray: str, python: str) -> None:
    with pytest.raises(VersionError) as refused:
        submission.check_versions(Versions(rayVersion=ray, pythonVersion=python))

    for number in (ray, python, version("ray"), MINOR):
        assert number in str(refused.value)


def test_the_last_number_of_python_may_differ() -> None:
    submission.check_versions(Versions(rayVersion=version("ray"), pythonVersion=f"{MINOR}.99"))
