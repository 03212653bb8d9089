"""The start of Ray by `manta local`, with a program in place of `ray`."""

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from app.cli.local import platform
from app.cli.local.platform import MAX_RAY_STARTS, Platform, Ports
from app.cli.local.processes import Processes
from app.cli.ports import free_ports
from app.errors import PlatformError

RAY = """#!/bin/sh
echo start >>{folder}/starts
if [ $(wc -l <{folder}/starts) -le {failures} ]; then
    sleep 600 &
    echo $! >>{folder}/left
    echo 'Exception: {message}'
    exit 1
fi
echo 'Ray runtime started.'
exec python3 -c '
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()'
"""
"""Fails a number of times and leaves a process behind each time, then answers as Ray's dashboard does."""


class ReapedProcesses(Processes):
    """Processes whose exit codes are read at the end."""

    def __init__(self, folder: Path) -> None:
        super().__init__({}, logs=folder / "logs", scratch=folder / "scratch")
        self.started: list[subprocess.Popen[bytes]] = []

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        self.started.append(super().start(name, command, environment=environment))
        return self.started[-1]

    def __exit__(self, *error: object) -> None:
        super().__exit__(None, None, None)
        for process in self.started:
            process.wait(timeout=30)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def start(folder: Path, monkeypatch: pytest.MonkeyPatch, *, failures: int, message: str = platform.RAY_GAVE_UP) -> None:
    """Start Ray, and wait for it."""
    ray, mlflow, serve = free_ports(3)
    program = folder / "ray"
    program.write_text(RAY.format(folder=folder, failures=failures, message=message, port=ray))
    program.chmod(0o755)
    monkeypatch.setattr(platform, "BIN_FOLDER", folder)
    endpoints = Ports(ray=ray, mlflow=mlflow, serve=serve).endpoints("token", model_name="model")
    with ReapedProcesses(folder) as processes:
        local = Platform(processes, endpoints, state=folder, scratch=folder / "scratch")
        local.start_ray()
        asyncio.run(local.wait_for_ray())
        assert not any(is_running(int(pid)) for pid in (folder / "left").read_text().split())


@pytest.mark.parametrize(
    ("file", "message"), [("_private/node.py", platform.RAY_GAVE_UP), ("scripts/scripts.py", platform.RAY_STARTED)]
)
def test_the_installed_ray_writes_the_messages(file: str, message: str) -> None:
    ray = find_spec("ray")

    assert ray is not None
    assert ray.origin is not None
    assert message in (Path(ray.origin).parent / file).read_text()


def test_ray_is_started_again_after_it_gave_up_and_nothing_of_it_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(tmp_path, monkeypatch, failures=MAX_RAY_STARTS - 1)

    assert capsys.readouterr().out.count("Ray gave up its start") == MAX_RAY_STARTS - 1


@pytest.mark.parametrize(
    ("failures", "message", "starts"),
    [(MAX_RAY_STARTS, platform.RAY_GAVE_UP, MAX_RAY_STARTS), (1, "Address already in use", 1)],
)
def test_another_error_or_too_many_starts_end_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, message: str, starts: int
) -> None:
    with pytest.raises(PlatformError, match="ray ended with exit code 1"):
        start(tmp_path, monkeypatch, failures=failures, message=message)

    assert len((tmp_path / "starts").read_text().splitlines()) == starts
