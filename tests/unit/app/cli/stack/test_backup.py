"""`manta backup` and `manta restore` against a folder in place of MLflow's volume: its programs run for real."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli.main import cli
from app.cli.stack.backup import command
from app.errors import MantaError

OUTPUTS: dict[str, object] = {
    "context": "minikube",
    "namespace": "manta",
    "stack": "dev",
    "image": "manta-ray:1",
    "rayDashboardUrl": "http://localhost:8265",
    "mlflowUrl": "http://localhost:8989",
    "serveUrl": "http://localhost:8000/fastapi_app",
    "forwards": [{"name": "ray", "namespace": "manta", "service": "head", "port": 8265, "localPort": 8265}],
}
KUBECTL = """#!/bin/sh
echo "$*" | head -n 1 >> "$0-calls"
case "$*" in *exec*) while [ "$1" != -- ]; do shift; done; shift; shift; exec {python} "$@" ;; esac
"""


class Volume:
    """The folder of MLflow's volume."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def write(self, run: str) -> None:
        """Store one run and one artifact."""
        self.insert(run, "mlflow.db")
        (self.folder / "artifacts" / run).mkdir(parents=True)
        (self.folder / "artifacts" / run / "model.skops").write_text(f"model of {run}")

    def insert(self, name: str, database: str) -> None:
        """Insert a row into the only table of a database."""
        connection = sqlite3.connect(self.folder / database)
        connection.execute("create table if not exists entries (name)")
        connection.execute("insert into entries values (?)", (name,))
        connection.commit()
        connection.close()

    def rows(self, database: str) -> list[str]:
        """Names in the table of a database."""
        connection = sqlite3.connect(self.folder / database)
        names = [name for (name,) in connection.execute("select name from entries")]
        connection.close()
        return names

    @property
    def runs(self) -> list[str]:
        return self.rows("mlflow.db")

    @property
    def artifacts(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "artifacts").iterdir())


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    programs = {
        "kubectl": KUBECTL.format(python=sys.executable),
        "pulumi": f"#!/bin/sh\ncase $2 in config) cat '{tmp_path}/config' ;; *) cat '{tmp_path}/outputs' ;; esac\n",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "outputs").write_text(json.dumps(OUTPUTS))
    (tmp_path / "config").write_text(json.dumps({"manta:mlflowBackend": {"value": "sqlite"}}))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(command, "DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return Volume(tmp_path / "data")


def manta(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_a_restore_brings_back_the_runs_and_artifacts_of_the_backup_and_restarts_mlflow(
    volume: Volume, tmp_path: Path
) -> None:
    volume.write("first")
    assert manta("backup", "copy.tar.gz").exit_code == 0
    volume.write("second")

    result = manta("restore", "copy.tar.gz", "--yes")

    assert result.exit_code == 0, result.output
    assert (volume.runs, volume.artifacts) == (["first"], ["first"])
    assert "rollout restart deployment/mlflow" in (tmp_path / "kubectl-calls").read_text()
    assert sorted(path.name for path in volume.folder.iterdir()) == ["artifacts", "mlflow.db"]


@pytest.mark.parametrize("users", ["basic_auth.db", "oidc_auth.db"])
def test_a_restore_brings_back_the_users_of_the_backup(volume: Volume, users: str) -> None:
    volume.write("first")
    volume.insert("a user", users)
    manta("backup", "copy.tar.gz")
    volume.insert("a later user", users)

    result = manta("restore", "copy.tar.gz", "--yes")

    assert result.exit_code == 0, result.output
    assert volume.rows(users) == ["a user"]


def test_a_damaged_archive_changes_nothing(volume: Volume, tmp_path: Path) -> None:
    volume.write("first")
    manta("backup", "copy.tar.gz")
    content = (tmp_path / "copy.tar.gz").read_bytes()
    (tmp_path / "copy.tar.gz").write_bytes(content[: len(content) // 2])
    volume.write("second")

    result = manta("restore", "copy.tar.gz", "--yes")

    assert isinstance(result.exception, MantaError)
    assert "is no complete archive" in str(result.exception)
    assert volume.runs == ["first", "second"]


def test_a_restore_asks_before_it_replaces_anything(volume: Volume) -> None:
    volume.write("first")
    manta("backup", "copy.tar.gz")
    volume.write("second")

    result = CliRunner().invoke(cli, ["restore", "copy.tar.gz"], input="n\n")

    assert result.exit_code == 1
    assert volume.runs == ["first", "second"]


def test_a_backup_overwrites_no_file(volume: Volume, tmp_path: Path) -> None:
    volume.write("first")
    (tmp_path / "copy.tar.gz").write_text("an older backup")

    result = manta("backup", "copy.tar.gz")

    assert "exists already" in str(result.exception)
    assert (tmp_path / "copy.tar.gz").read_text() == "an older backup"


def test_a_backup_of_an_empty_volume_fails_and_leaves_no_file(volume: Volume, tmp_path: Path) -> None:
    assert volume.folder.exists()

    result = manta("backup", "copy.tar.gz")

    assert "holds no mlflow.db" in str(result.exception)
    assert not list(tmp_path.glob("copy.tar.gz*"))


@pytest.mark.parametrize("arguments", [("backup", "copy.tar.gz"), ("restore", "config", "--yes")])
def test_a_stack_on_postgres_is_referred_to_the_backups_of_the_database(
    volume: Volume, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    volume.write("first")
    (tmp_path / "config").write_text(json.dumps({"manta:mlflowBackend": {"value": "postgres"}}))

    result = manta(*arguments)

    assert "MLflow's database is Postgres" in str(result.exception)
