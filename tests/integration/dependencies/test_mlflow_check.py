"""The check of MLflow against a real server with users: what training needs, and the sentence that mends each fault."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.cli.ports import free_ports
from app.dependencies import checks, mlflow_check
from app.dependencies.result import CheckFailedError, Result, Status
from app.settings import DependencySettings
from tests.support.local import clean_environment
from tests.support.waiting import wait_until

PASSWORD = "the-password-of-a-test"  # noqa: S105 - the password of a test
INI = """\
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/auth.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def url(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that accepts the host `127.0.0.1` only."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "auth.ini").write_text(INI.format(folder=folder, password=PASSWORD))
    (port,) = free_ports(1)
    environment = clean_environment() | {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-key-of-a-test",
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [str(Path(sys.executable).parent / "mlflow"), "server", "--app-name", "basic-auth", "--workers", "1"]
    options = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(artifacts)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options, "--port", str(port)], env=environment, cwd=folder, stdout=log, stderr=log
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: httpx.get(f"{address}/health").is_success, what="MLflow", timeout_s=300)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def check(url: str, *, password: str = PASSWORD) -> Result:
    return mlflow_check.check(url, user="admin", password=SecretStr(password), experiment="manta")


def failure(url: str, *, password: str = PASSWORD) -> str:
    with pytest.raises(CheckFailedError) as error:
        check(url, password=password)
    return f"{error.value.detail} {error.value.next_step}"


def test_a_server_that_accepts_the_password_and_stores_artifacts_passes_and_keeps_no_artifact(
    url: str, artifacts: Path
) -> None:
    assert check(url).status is Status.OK
    assert [path for path in artifacts.rglob("*") if path.is_file()] == []


def test_a_wrong_password_is_named(url: str) -> None:
    text = failure(url, password="another password")  # noqa: S106 - no password of anything

    assert "MLflow refuses the user and the password" in text
    assert "pulumi config set --secret mlflowPassword" in text


def test_a_host_that_the_server_does_not_accept_is_named(url: str) -> None:
    text = failure(url.replace("127.0.0.1", "localhost"))

    assert "MLflow refuses the host name localhost" in text


def test_an_artifact_store_that_is_no_folder_is_named(url: str, artifacts: Path) -> None:
    shutil.rmtree(artifacts / "0", ignore_errors=True)
    (artifacts / "0").write_text("a file in place of the folder of the experiment")
    try:
        text = failure(url)
    finally:
        (artifacts / "0").unlink()

    assert "MLflow cannot write and read its artifact store" in text
    assert "kubectl logs deployment/mlflow" in text


def test_all_checks_end_within_their_time_and_name_every_fault(url: str) -> None:
    (port,) = free_ports(1)
    settings = DependencySettings(
        mlflow_tracking_uri=url,
        mlflow_user="admin",
        mlflow_password=SecretStr(PASSWORD),
        redis_address=f"127.0.0.1:{port}",
    )

    results = {result.check: result for result in checks.run(settings, patience_s=1)}

    assert results["mlflow"].status is Status.OK
    assert results["redis"].status is Status.WRONG
    assert f"Nothing answers at 127.0.0.1:{port}" in results["redis"].detail


def test_the_command_prints_the_fault_last_and_exits_with_1(url: str) -> None:
    environment = clean_environment() | {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": "another password",
    }

    process = subprocess.run(
        [sys.executable, "-m", "app.dependencies"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode == 1
    assert process.stdout.splitlines()[-1].startswith("wrong: mlflow: MLflow refuses the user and the password")
