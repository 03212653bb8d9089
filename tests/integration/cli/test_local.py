import os
import re
import signal
import socket
from pathlib import Path

import psutil
import pytest

from app.cli.ports import free_ports
from tests.support.local import READY_LINE, LocalFolder, RunningPlatform
from tests.support.waiting import wait_until

OTHER_RELEASE = "0.9.7"


def run_once(folder: LocalFolder, *argv: str) -> tuple[int, str]:
    """Run `manta local --once`, and return its exit code and its output."""
    ray, mlflow, serve = map(str, free_ports(3))
    ports = ("--ray-port", ray, "--mlflow-port", mlflow, "--serve-port", serve)
    process = folder.run("local", "--once", *ports, *argv)
    return process.returncode, process.stdout + process.stderr


@pytest.fixture(scope="module")
def completed_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalFolder, str]:
    """A new folder in which `manta local --once` ran, and the output of the command."""
    folder = LocalFolder(tmp_path_factory.mktemp("once"))
    code, output = run_once(folder)
    assert code == 0, output
    return folder, output


def test_once_trains_loads_predicts_and_stops(completed_run: tuple[LocalFolder, str]) -> None:
    _, output = completed_run

    assert "A model is trained and registered" in output
    assert "The model is loaded" in output
    assert "version 1 answers" in output
    assert READY_LINE not in output


def test_only_the_owner_can_read_the_token(completed_run: tuple[LocalFolder, str]) -> None:
    folder, _ = completed_run

    assert (folder.folder / ".manta" / "token").stat().st_mode & 0o777 == 0o600


def test_a_later_start_serves_the_champion_and_leaves_no_process_after_sigkill(
    completed_run: tuple[LocalFolder, str],
) -> None:
    folder, _ = completed_run

    with folder.run_platform() as platform:
        descendants = platform.descendants()
        os.kill(platform.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_is_running, descendants)), what="the end of every process", timeout_s=300)

    assert len(descendants) > 5
    assert "version 1 answers" in platform.output
    assert "trained" not in platform.output


def test_the_server_of_ray_client_does_not_wait_for_a_port(platform: RunningPlatform) -> None:
    """On a busy machine it would wait for more than 30 s and end, and Ray would end with it."""
    commands = [process.cmdline() for process in platform.descendants() if _is_running(process)]
    [server] = [command for command in commands if "ray.util.client.server" in command]

    assert [re.sub(r"[1-9]\d+$", "PORT", word) for word in server if "runtime-env-agent" in word] == [
        "--runtime-env-agent-address=http://127.0.0.1:PORT"
    ]


def test_a_champion_of_another_release_is_refused_and_replaced_by_train(completed_run: tuple[LocalFolder, str]) -> None:
    folder, _ = completed_run
    [description] = (folder.folder / ".manta" / "artifacts").rglob("MLmodel")
    text, changes = re.subn(r"(sklearn_version: ).*", rf"\g<1>{OTHER_RELEASE}", description.read_text())
    description.write_text(text)

    refused_code, refused_output = run_once(folder)
    trained_code, trained_output = run_once(folder, "--train")

    assert changes == 1
    assert refused_code == 1
    assert f"version 1 was fitted with scikit-learn {OTHER_RELEASE}, but scikit-learn" in refused_output
    assert "manta local --train" in refused_output
    assert trained_code == 0, trained_output
    assert "version 2 answers" in trained_output


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("name", ["ray", "mlflow", "serve"])
def test_a_port_in_use_is_an_error_that_names_port_and_option_before_anything_starts(tmp_path: Path, name: str) -> None:
    folder = LocalFolder(tmp_path)
    ports = dict(zip(("ray", "mlflow", "serve"), free_ports(3), strict=True))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports[name]))
        listener.listen()

        process = folder.run("local", *(word for part, port in ports.items() for word in (f"--{part}-port", str(port))))

    assert process.returncode == 1
    assert f"Port {ports[name]} is not free" in process.stderr
    assert f"--{name}-port" in process.stderr
    assert not (tmp_path / ".manta").exists()


def test_a_second_platform_with_the_same_state_folder_is_refused(platform: RunningPlatform, local: LocalFolder) -> None:
    ray, mlflow, serve = map(str, free_ports(3))

    process = local.run("local", "--ray-port", ray, "--mlflow-port", mlflow, "--serve-port", serve)

    assert process.returncode == 1
    assert "is already running" in process.stderr
    assert platform.process.poll() is None
