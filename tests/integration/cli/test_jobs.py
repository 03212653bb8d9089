"""Training jobs as `manta train` sends and follows them, on a real Ray; the models fit what the platform serves."""

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.endpoints import Target
from app.cli.jobs.ray_jobs_api import STREAM_FROM, Job, JobError, Ray, State, Submission
from app.training.data.sources import load_bundled
from tests.support.cutting import cutting
from tests.support.local import MANTA, LocalFolder, RunningPlatform, clean_environment
from tests.support.waiting import wait_until

LINES = 400
WIDTH = 16
COUNT = f"python -uc 'import time\nfor i in range({LINES}): print(i, \"é\" * (i % 50 * {WIDTH})); time.sleep(0.02)'"
"""A job whose log is read as a whole at first, and streamed from its middle on."""


@pytest.fixture
def target(platform: RunningPlatform, local: LocalFolder) -> Target:
    assert platform.process.poll() is None, platform.output
    return local.target


async def followed(target: Target, entrypoint: str, *, through: Target | None = None) -> list[str]:
    """The lines of a job that is sent straight and followed through another address."""
    job = Job()
    async with Ray(target) as ray:
        await ray.submit(Submission(entrypoint=entrypoint, submission_id=job.id))
    async with Ray(through or target) as ray:
        lines = [line async for line in job.lines(ray)]
    job.check()
    return lines


def test_no_line_is_lost_or_doubled_on_a_connection_that_drops_again_and_again(target: Target) -> None:
    async def run() -> tuple[list[str], int]:
        async with cutting(httpx.URL(target.ray_url).port or 0) as cut:
            through = target.model_copy(update={"ray_url": f"http://127.0.0.1:{cut.port}"})
            return await followed(target, COUNT, through=through), cut.times

    lines, times = asyncio.run(run())

    assert times >= 5
    assert sum(map(len, lines)) > 2 * STREAM_FROM
    assert lines[-LINES:] == [f"{i} {'é' * (i % 50 * WIDTH)}" for i in range(LINES)]
    assert len([line for line in lines if line.startswith("Running entrypoint")]) == 1


@pytest.mark.parametrize(("entrypoint", "code"), [("sh -c 'exit 7'", 7), ("sh -c 'kill -KILL $$'", 137)])
def test_a_job_that_fails_gives_its_exit_code(target: Target, entrypoint: str, code: int) -> None:
    with pytest.raises(JobError) as failed:
        asyncio.run(followed(target, entrypoint))

    assert failed.value.exit_code == code


def mlflow_run(target: Target, run_id: str) -> dict[str, str]:
    """Tags of a run."""
    answer = httpx.get(f"{target.mlflow_url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=30)
    return {tag["key"]: tag["value"] for tag in answer.json()["run"]["data"]["tags"]}


def test_a_job_from_another_folder_brings_its_data_and_does_what_ray_job_submit_does(
    target: Target, tmp_path: Path
) -> None:
    rows = load_bundled("breast-cancer")
    rows.features.assign(diagnosis=rows.target).to_csv(tmp_path / "cells.csv", index=False)
    options = ["--data", "cells.csv", "--target", "diagnosis", "--trees", "10"]
    plain = ["ray", "job", "submit", "--address", target.ray_url, "--working-dir", ".", "--"]

    by_manta = LocalFolder(tmp_path).run("train", *options, "--address", target.ray_url, "--token", target.ray_token)
    by_ray = subprocess.run(
        [str(MANTA.parent / plain[0]), *plain[1:], "python", "-m", "app.train", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=clean_environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": target.ray_token},
        timeout=120,
        check=False,
    )

    assert by_manta.returncode == 0, by_manta.stdout + by_manta.stderr
    assert by_ray.returncode == 0, by_ray.stdout + by_ray.stderr
    ours, theirs = (result(ended.stdout) for ended in (by_manta, by_ray))
    assert ours["fingerprint"] == theirs["fingerprint"]
    tags = mlflow_run(target, ours["run_id"])
    assert tags["data.source"] == "cells.csv"
    assert tags["train.arguments"] == "--data cells.csv --target diagnosis --trees 10"
    assert tags["mlflow.user"] == job_info(target, by_manta.stderr)["metadata"]["user"]


KUBECTL = """#!{python}
import asyncio, sys
async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def accept(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", {upstream})
    await asyncio.gather(pump(reader, back), pump(there, writer))
async def main():
    server = await asyncio.start_server(accept, "127.0.0.1", int(sys.argv[-1].split(":")[0]))
    await server.serve_forever()
asyncio.run(main())
"""


def test_a_stack_is_found_by_its_outputs_and_reached_by_a_tunnel_of_its_own(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {
        "context": "minikube",
        "namespace": "manta",
        "image": "manta-ray:1",
        "stack": "dev",
        "rayDashboardUrl": "http://localhost:1",
        "mlflowUrl": "http://localhost:2",
        "serveUrl": "http://localhost:3",
        "rayToken": target.ray_token,
        "forwards": [{"name": "ray", "namespace": "manta", "service": "head", "port": 8265, "localPort": 1}],
    }
    programs = {
        "pulumi": f"#!/bin/sh\necho '{json.dumps(outputs)}'\n",
        "kubectl": KUBECTL.format(python=sys.executable, upstream=httpx.URL(target.ray_url).port),
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    work = tmp_path / "work"
    work.mkdir()

    ended = LocalFolder(work).run("train", "--stack", "dev", "--dataset", "breast-cancer", "--trees", "5")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "leads to head:8265" in ended.stderr
    tags = mlflow_run(target, result(ended.stdout)["run_id"])
    assert (tags["stack"], job_info(target, ended.stderr)["metadata"]["stack"]) == ("dev", "dev")


def result(output: str) -> dict[str, Any]:
    """What a training job printed as its result."""
    found: dict[str, Any] = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return found


def job_info(target: Target, said: str) -> dict[str, Any]:
    """What Ray knows of the job that a command named."""
    job_id = next(line.split()[1] for line in said.splitlines() if line.startswith("job manta-"))
    info: dict[str, Any] = httpx.get(
        f"{target.ray_url}/api/jobs/{job_id}", headers=target.ray_headers, timeout=30
    ).json()
    return info


@contextmanager
def training(local: LocalFolder, log: Path, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """`manta train`, whose job runs."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [MANTA, "train", "--dataset", "breast-cancer", "--trees", "10"],
            cwd=local.folder,
            stdin=stdin,
            stdout=out,
            stderr=out,
            env=clean_environment(),
        )
    try:
        wait_until(lambda: "Running entrypoint" in log.read_text(), what="the job", timeout_s=60)
        yield process
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_in_a_terminal_asks_and_stops_the_job_when_told_to(
    target: Target, local: LocalFolder, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    terminal, theirs = pty.openpty()
    with training(local, log, theirs) as process:
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "go on (g)?" in log.read_text(), what="the question", timeout_s=30)
        os.write(terminal, b"s\n")

        code = process.wait(timeout=60)

    os.close(terminal)
    os.close(theirs)
    assert code not in {0, 130}
    assert "ended as STOPPED" in log.read_text()
    assert job_info(target, log.read_text())["status"] == "STOPPED"


def test_ctrl_c_without_a_terminal_stops_watching_and_says_how_to_go_on(
    target: Target, local: LocalFolder, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with training(local, log) as process:
        process.send_signal(signal.SIGINT)

        code = process.wait(timeout=30)

    assert code == 130
    assert f"ray job logs --follow --address {target.ray_url} manta-" in log.read_text()
    wait_until(
        lambda: State.model_validate(job_info(target, log.read_text())).has_ended, what="the job's end", timeout_s=90
    )
    assert job_info(target, log.read_text())["status"] == "SUCCEEDED"


def test_sigterm_stops_the_job(target: Target, local: LocalFolder, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with training(local, log) as process:
        process.terminate()

        code = process.wait(timeout=30)

    assert code == 143
    wait_until(
        lambda: State.model_validate(job_info(target, log.read_text())).has_ended, what="the job's end", timeout_s=60
    )
    assert job_info(target, log.read_text())["status"] == "STOPPED"
