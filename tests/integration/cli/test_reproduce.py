"""Runs on data that has versions, and made again from what they say of themselves; DVC, git and MLflow are real."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from app.errors import DataError
from app.settings import empty_environment
from app.training.data import dvc
from tests.support.local import MANTA, LocalFolder, RunningPlatform

ROOT = Path(__file__).parents[3]
ROWS = 60
OPTIONS = ("--target", "sold", "--trees", "10")


class Clone:
    """A repository of git and DVC with the code, one data set in two versions, and its storage."""

    def __init__(self, folder: Path, mlflow_url: str) -> None:
        self.folder = folder / "clone"
        self.environment = empty_environment() | {"MLFLOW_TRACKING_URI": mlflow_url, "DVC_NO_ANALYTICS": "1"}
        shutil.copytree(ROOT / "app", self.folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / ".gitignore").write_text("__pycache__/\n")
        self.call("git", "init", "--quiet")
        for key, value in (("user.email", "nobody@example.com"), ("user.name", "nobody")):
            self.call("git", "config", key, value)
        self.call("dvc", "init", "--quiet")
        self.call("dvc", "remote", "add", "--quiet", "--default", "store", str(folder / "store"))
        for version, seed in (("v1", 3), ("v2", 4)):
            self.write(seed)
            self.call("dvc", "add", "--quiet", "flats.csv")
            self.call("git", "add", "--all")
            self.call("git", "commit", "--quiet", "--message", version)
            self.call("git", "tag", version)
            self.call("dvc", "push", "--quiet")

    def write(self, seed: int) -> None:
        rows = "\n".join(f"{i},{i * seed % 7},{'yes' if i % seed else 'no'}" for i in range(ROWS))
        (self.folder / "flats.csv").write_text(f"rooms,area,sold\n{rows}\n")

    def call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program in the repository; it must succeed."""
        ended = self.run(program, *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        found = MANTA.parent / program
        return subprocess.run(
            [str(found) if found.exists() else program, *arguments],
            cwd=self.folder,
            env=self.environment | {"PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def trained(self, data: str) -> dict[str, Any]:
        """The result of a training run, straight by its module."""
        ended = self.call(sys.executable, "-m", "app.train", "--data", data, *OPTIONS)
        result: dict[str, Any] = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
        return result


@pytest.fixture(scope="module")
def clone(platform: RunningPlatform, local: LocalFolder, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    assert platform.process.poll() is None, platform.output
    return Clone(tmp_path_factory.mktemp("reproduce"), local.target.mlflow_url)


@pytest.fixture(scope="module")
def tags(local: LocalFolder) -> Any:  # noqa: ANN401 - a function
    client = MlflowClient(tracking_uri=local.target.mlflow_url)
    return lambda run_id: client.get_run(run_id).data.tags


def test_a_version_of_the_data_is_trained_on_recorded_and_reproduced_bit_for_bit(clone: Clone, tags: Any) -> None:  # noqa: ANN401
    first = clone.trained("dvc:flats.csv@v1")
    second = clone.trained("dvc:flats.csv")

    assert first["fingerprint"] != second["fingerprint"]
    recorded, changed = tags(first["run_id"]), tags(second["run_id"])
    commits = [clone.call("git", "rev-parse", revision).stdout.strip() for revision in ("v1", "v2")]
    assert [recorded["data.revision"], changed["data.revision"]] == commits
    assert recorded["data.md5"] in clone.call("git", "show", "v1:flats.csv.dvc").stdout
    assert changed["data.changed_since"] == first["run_id"]
    assert "data.changed_since" not in recorded

    again = clone.run("manta", "reproduce", first["run_id"])

    assert again.returncode == 0, again.stdout + again.stderr
    assert f"the same, bit for bit: {first['fingerprint']}" in again.stdout
    assert clone.call("git", "worktree", "list").stdout.count("\n") == 1
    assert clone.call("git", "status", "--porcelain").stdout == ""


def test_a_file_that_was_changed_since_is_told_from_the_runs(clone: Clone) -> None:
    (clone.folder / "plain.csv").write_text((clone.folder / "flats.csv").read_text())
    run_id = clone.trained("plain.csv")["run_id"]
    text = (clone.folder / "plain.csv").read_text()
    (clone.folder / "plain.csv").write_text(text.replace("\n5,", "\n50,"))

    changed = clone.run("manta", "reproduce", run_id)
    (clone.folder / "plain.csv").unlink()
    gone = clone.run("manta", "reproduce", run_id)

    assert (changed.returncode, gone.returncode) == (1, 1)
    assert "The data came out as" in changed.stderr
    assert "neither in its commit nor at" in gone.stderr
    assert "Traceback" not in changed.stderr + gone.stderr


def test_a_run_that_nobody_made_is_not_found(clone: Clone) -> None:
    ended = clone.run("manta", "reproduce", "0" * 32)

    assert ended.returncode == 1
    assert "There is no run" in ended.stderr


def test_a_version_is_fetched_from_the_storage_where_nothing_else_has_it(clone: Clone) -> None:
    shutil.rmtree(clone.folder / ".dvc" / "cache")

    file = dvc.read(f"dvc:{clone.folder}/flats.csv@v1")

    clone.write(3)
    assert file.content == (clone.folder / "flats.csv").read_bytes()
    clone.write(4)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("flats.csv@v9", "unknown Git revision"),
        ("nowhere.csv@v1", "cannot be read: No such file"),
        ("app@v1", "is a folder"),
        ("../flats.csv", "is not in a DVC repository"),
    ],
)
def test_what_dvc_does_not_have_is_refused_with_a_next_step(clone: Clone, location: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        dvc.read(f"dvc:{clone.folder}/{location}")

    assert refused.value.next_step


def test_a_file_that_was_changed_after_it_was_added_is_refused(clone: Clone) -> None:
    clone.write(5)

    with pytest.raises(DataError, match=r"dvc add flats\.csv"):
        dvc.read(f"dvc:{clone.folder}/flats.csv")

    clone.write(4)


def test_data_whose_entry_was_not_committed_has_no_clean_revision(clone: Clone) -> None:
    clone.write(6)
    clone.call("dvc", "add", "--quiet", "flats.csv")

    file = dvc.read(f"dvc:{clone.folder}/flats.csv")

    assert file.tags["data.revision"] == clone.call("git", "rev-parse", "HEAD").stdout.strip() + "-dirty"
