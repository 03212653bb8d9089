"""Training on versioned data, and `manta reproduce`, with real DVC, git and MLflow."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from app.errors import DataError
from app.settings import empty_environment
from app.training.data import dvc
from tests.support.json_object import JsonObject
from tests.support.local import MANTA, LocalFolder, RunningPlatform

ROOT = Path(__file__).parents[3]
ROWS = 60
OPTIONS = ("--target", "sold", "--trees", "10")


class Clone:
    """A git and DVC repository with the code, two versions of a data set, and a DVC remote."""

    def __init__(self, folder: Path, mlflow_url: str) -> None:
        self.folder = folder / "clone"
        self.environment = empty_environment() | {"MLFLOW_TRACKING_URI": mlflow_url, "DVC_NO_ANALYTICS": "1"}
        shutil.copytree(ROOT / "app", self.folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / ".gitignore").write_text("__pycache__/\n")
        self.call("git", "init", "--quiet")
        for key, value in (("user.email", "test@example.com"), ("user.name", "test")):
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
        """Run a program in the repository and check that it succeeds."""
        process = self.run(program, *arguments)
        assert process.returncode == 0, process.stdout + process.stderr
        return process

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        installed = MANTA.parent / program
        return subprocess.run(
            [str(installed) if installed.exists() else program, *arguments],
            cwd=self.folder,
            env=self.environment | {"PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def train(self, data: str) -> JsonObject:
        """Run `python -m app.train` and return its result."""
        process = self.call(sys.executable, "-m", "app.train", "--data", data, *OPTIONS)
        result: JsonObject = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("{")))
        return result


@pytest.fixture(scope="module")
def clone(platform: RunningPlatform, local: LocalFolder, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    assert platform.process.poll() is None, platform.output
    return Clone(tmp_path_factory.mktemp("reproduce"), local.endpoints.mlflow_url)


@pytest.fixture(scope="module")
def tags(local: LocalFolder) -> Callable[[str], dict[str, str]]:
    """A function that returns the tags of a run."""
    client = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    return lambda run_id: client.get_run(run_id).data.tags


def test_a_run_on_a_dvc_revision_records_it_and_is_reproduced_bit_for_bit(
    clone: Clone, tags: Callable[[str], dict[str, str]]
) -> None:
    first = clone.train("dvc:flats.csv@v1")
    second = clone.train("dvc:flats.csv")

    assert first["fingerprint"] != second["fingerprint"]
    recorded, changed = tags(first["run_id"]), tags(second["run_id"])
    commits = [clone.call("git", "rev-parse", revision).stdout.strip() for revision in ("v1", "v2")]
    assert [recorded["data.revision"], changed["data.revision"]] == commits
    assert recorded["data.md5"] in clone.call("git", "show", "v1:flats.csv.dvc").stdout
    assert changed["data.changed_since"] == first["run_id"]
    assert "data.changed_since" not in recorded

    process = clone.run("manta", "reproduce", first["run_id"])

    assert process.returncode == 0, process.stdout + process.stderr
    assert f"the same, bit for bit: {first['fingerprint']}" in process.stdout
    assert clone.call("git", "worktree", "list").stdout.count("\n") == 1
    assert clone.call("git", "status", "--porcelain").stdout == ""


def test_data_that_was_changed_or_deleted_since_the_run_is_an_error(clone: Clone) -> None:
    (clone.folder / "plain.csv").write_text((clone.folder / "flats.csv").read_text())
    run_id = clone.train("plain.csv")["run_id"]
    text = (clone.folder / "plain.csv").read_text()
    (clone.folder / "plain.csv").write_text(text.replace("\n5,", "\n50,"))

    changed = clone.run("manta", "reproduce", run_id)
    (clone.folder / "plain.csv").unlink()
    deleted = clone.run("manta", "reproduce", run_id)

    assert (changed.returncode, deleted.returncode) == (1, 1)
    assert "The data differs" in changed.stderr
    assert "neither in its commit nor at" in deleted.stderr
    assert "Traceback" not in changed.stderr + deleted.stderr


def test_an_unknown_run_is_an_error(clone: Clone) -> None:
    process = clone.run("manta", "reproduce", "0" * 32)

    assert process.returncode == 1
    assert "There is no run" in process.stderr


def test_a_file_that_is_not_in_the_cache_is_fetched_from_the_dvc_remote(clone: Clone) -> None:
    shutil.rmtree(clone.folder / ".dvc" / "cache")

    content = io.BytesIO()
    dvc.copy(f"dvc:{clone.folder}/flats.csv@v1", content)

    clone.write(3)
    assert content.getvalue() == (clone.folder / "flats.csv").read_bytes()
    clone.write(4)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("flats.csv@v9", "unknown Git revision"),
        ("nowhere.csv@v1", "cannot be read: No such file"),
        ("app@v1", "is a folder"),
        ("../flats.csv", "is not in a DVC repository"),
    ],
)
def test_a_location_that_dvc_cannot_read_is_refused_with_a_next_step(clone: Clone, location: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        dvc.copy(f"dvc:{clone.folder}/{location}", io.BytesIO())

    assert error.value.next_step


def test_a_file_that_was_changed_after_dvc_add_is_refused(clone: Clone) -> None:
    clone.write(5)

    with pytest.raises(DataError, match=r"dvc add flats\.csv"):
        dvc.copy(f"dvc:{clone.folder}/flats.csv", io.BytesIO())

    clone.write(4)


def test_data_with_an_uncommitted_dvc_entry_has_a_dirty_revision(clone: Clone) -> None:
    clone.write(6)
    clone.call("dvc", "add", "--quiet", "flats.csv")

    tags = dvc.copy(f"dvc:{clone.folder}/flats.csv", io.BytesIO())

    assert tags["data.revision"] == clone.call("git", "rev-parse", "HEAD").stdout.strip() + "-dirty"
