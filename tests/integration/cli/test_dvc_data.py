"""Data of a real DVC repository, for a job that runs where the repository is not."""

import functools
import hashlib
import http.server
import io
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.datasets import load_wine

from app.cli.jobs import dvc_data
from app.cli.jobs.dvc_data import add_dvc_data
from app.cli.jobs.working_dir import WorkingDir, pack
from app.errors import DataError
from app.settings import empty_environment, settings
from app.training import run_tags
from app.training.data import sources
from tests.support.local import MANTA


class Repository:
    """A git and DVC repository with a data set, a folder as DVC's remote storage, and a web server of that folder."""

    def __init__(self, folder: Path, store_url: str, store: Path) -> None:
        self.folder = folder
        self.call("git", "init", "--quiet")
        self.call("dvc", "init", "--quiet")
        self.call("dvc", "remote", "add", "--quiet", "--default", "store", str(store))
        load_wine(as_frame=True).frame.to_csv(folder / "wine.csv", index=False)
        self.call("dvc", "add", "--quiet", "wine.csv")
        self.call("dvc", "push", "--quiet")
        self.call("dvc", "remote", "add", "--quiet", "--default", "web", store_url)
        self.call("git", "add", "--all")
        self.call("git", "-c", "user.email=t@example.com", "-c", "user.name=t", "commit", "--quiet", "-m", "wine")
        self.commit = self.call("git", "rev-parse", "HEAD").strip()
        self.content = (folder / "wine.csv").read_bytes()

    def call(self, program: str, *arguments: str) -> str:
        installed = MANTA.parent / program
        return subprocess.run(
            [str(installed) if installed.exists() else program, *arguments],
            cwd=self.folder,
            env=empty_environment() | {"DVC_NO_ANALYTICS": "1"},
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
        ).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    store = tmp_path_factory.mktemp("store")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(store))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Repository(tmp_path_factory.mktemp("repository"), f"http://127.0.0.1:{server.server_port}", store)
        server.shutdown()
        thread.join()


@pytest.fixture
def job_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a job. The environment variables of the job are those of this process."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    settings.cache_clear()


def start_job(working_dir: WorkingDir, monkeypatch: pytest.MonkeyPatch) -> None:
    zipfile.ZipFile(io.BytesIO(working_dir.content)).extractall()
    for name, value in working_dir.env_vars.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


@pytest.mark.parametrize("is_sent", [True, False])
def test_a_job_on_a_cluster_reads_the_file_of_a_revision(
    repository: Repository, job_folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_sent: bool
) -> None:
    packed = pack(repository.folder)
    if not is_sent:
        monkeypatch.setattr(dvc_data, "MAX_BYTES", 100)

    working_dir = add_dvc_data(packed, "dvc:wine.csv@HEAD", repository.folder)
    start_job(working_dir, monkeypatch)
    dataset = sources.read_file("dvc:wine.csv@HEAD", target="target")

    assert (job_folder / "manta-dvc-data" / "wine.csv").exists() == is_sent
    assert (working_dir.uri != packed.uri) == is_sent
    assert dataset.rows.features.shape == (178, 13)
    assert dataset.tags == {
        run_tags.DATA_REVISION: repository.commit,
        run_tags.DATA_MD5: hashlib.md5(repository.content, usedforsecurity=False).hexdigest(),
    }


def test_a_sent_file_with_another_content_is_refused(
    repository: Repository, job_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_job(add_dvc_data(pack(repository.folder), "dvc:wine.csv", repository.folder), monkeypatch)
    (job_folder / "manta-dvc-data" / "wine.csv").write_bytes(repository.content + b"\n")

    with pytest.raises(DataError, match=r"dvc:wine\.csv at manta-dvc-data/wine\.csv does not match the hash"):
        sources.read_file("dvc:wine.csv", target="target")


def test_a_large_file_in_storage_that_a_job_cannot_read_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_data, "MAX_BYTES", 100)
    repository.call("dvc", "remote", "default", "--local", "store")

    with pytest.raises(DataError, match="too large to be sent with the job, and the cluster cannot read"):
        add_dvc_data(pack(repository.folder), "dvc:wine.csv", repository.folder)

    repository.call("dvc", "remote", "default", "--local", "--unset")
