import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from app.cli.ports import free_ports
from tests.support.local import READY_LINE, LocalFolder, RunningPlatform
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalFolder, str]:
    """A folder in which `manta local --once` ran from nothing, and what it printed."""
    place = LocalFolder(tmp_path_factory.mktemp("once"))
    ray, mlflow, serve = map(str, free_ports(3))
    ended = place.run("local", "--once", "--ray-port", ray, "--mlflow-port", mlflow, "--serve-port", serve)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place, ended.stdout


def test_once_trains_loads_predicts_and_ends(finished: tuple[LocalFolder, str]) -> None:
    _, output = finished

    assert "A model is trained and registered" in output
    assert "The model is loaded" in output
    assert "version 1 answers" in output
    assert READY_LINE not in output


def test_the_token_is_readable_by_its_owner_alone(finished: tuple[LocalFolder, str]) -> None:
    place, _ = finished

    assert (place.folder / ".manta" / "token").stat().st_mode & 0o777 == 0o600


def test_a_later_start_serves_the_champion_at_once_and_dies_without_remains(finished: tuple[LocalFolder, str]) -> None:
    place, _ = finished

    with place.run_platform() as started:
        descendants = started.descendants()
        os.kill(started.process.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_runs, descendants)), what="the end of every process", timeout_s=60)

    assert len(descendants) > 5
    assert "version 1 answers" in started.output
    assert "trained" not in started.output


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("name", ["ray", "mlflow", "serve"])
def test_a_busy_port_is_an_error_that_names_port_and_flag_before_anything_starts(tmp_path: Path, name: str) -> None:
    place = LocalFolder(tmp_path)
    ports = dict(zip(("ray", "mlflow", "serve"), free_ports(3), strict=True))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[name]))
        taken.listen()

        ended = place.run("local", *(word for key, port in ports.items() for word in (f"--{key}-port", str(port))))

    assert ended.returncode == 1
    assert f"Port {ports[name]} is not free" in ended.stderr
    assert f"--{name}-port" in ended.stderr
    assert not (tmp_path / ".manta").exists()


def test_two_platforms_cannot_share_a_folder(platform: RunningPlatform, local: LocalFolder) -> None:
    ray, mlflow, serve = map(str, free_ports(3))

    ended = local.run("local", "--ray-port", ray, "--mlflow-port", mlflow, "--serve-port", serve)

    assert ended.returncode == 1
    assert "runs already" in ended.stderr
    assert platform.process.poll() is None
