"""`manta train` submits and follows jobs on a real Ray cluster."""

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

import httpx
import pytest

from app.cli.endpoints import Endpoints
from app.cli.jobs.job import STREAM_FROM_CHARS, Job, JobError
from app.cli.jobs.ray_jobs_api import JobState, JobSubmitRequest, RayJobsApi
from app.training.data.sources import load_bundled
from tests.support.flaky_port import flaky_port
from tests.support.json_object import JsonObject
from tests.support.local import MANTA, LocalFolder, RunningPlatform, clean_environment
from tests.support.waiting import wait_until

LINES = 400
WIDTH = 16
COUNT = f"python -uc 'import time\nfor i in range({LINES}): print(i, \"é\" * (i % 50 * {WIDTH})); time.sleep(0.02)'"
"""A job whose log is first read as a whole, and streamed from about its middle."""


@pytest.fixture
def endpoints(platform: RunningPlatform, local: LocalFolder) -> Endpoints:
    assert platform.process.poll() is None, platform.output
    return local.endpoints


async def follow(endpoints: Endpoints, entrypoint: str, *, through: Endpoints | None = None) -> list[str]:
    """Submit a job, follow it through another address, and return the lines of its log."""
    job = Job()
    async with RayJobsApi(endpoints) as api:
        await api.submit(JobSubmitRequest(entrypoint=entrypoint, submission_id=job.id), report=print)
    async with RayJobsApi(through or endpoints) as api:
        lines = [line async for line in job.lines(api)]
    job.check()
    return lines


def test_no_line_is_lost_or_repeated_when_the_connection_drops_repeatedly(endpoints: Endpoints) -> None:
    async def run() -> tuple[list[str], int]:
        async with flaky_port(httpx.URL(endpoints.ray_url).port or 0) as flaky:
            through = endpoints.model_copy(update={"ray_url": f"http://127.0.0.1:{flaky.port}"})
            return await follow(endpoints, COUNT, through=through), flaky.cuts

    lines, cuts = asyncio.run(run())

    assert cuts >= 5
    assert sum(map(len, lines)) > 2 * STREAM_FROM_CHARS
    assert lines[-LINES:] == [f"{i} {'é' * (i % 50 * WIDTH)}" for i in range(LINES)]
    assert len([line for line in lines if line.startswith("Running entrypoint")]) == 1


@pytest.mark.parametrize(("entrypoint", "code"), [("sh -c 'exit 7'", 7), ("sh -c 'kill -KILL $$'", 137)])
def test_a_job_that_fails_gives_its_exit_code(endpoints: Endpoints, entrypoint: str, code: int) -> None:
    with pytest.raises(JobError) as error:
        asyncio.run(follow(endpoints, entrypoint))

    assert error.value.exit_code == code


def mlflow_run(endpoints: Endpoints, run_id: str) -> dict[str, str]:
    """Tags of a run."""
    answer = httpx.get(f"{endpoints.mlflow_url}/api/2.0/mlflow/runs/get", params={"run_id": run_id}, timeout=30)
    return {tag["key"]: tag["value"] for tag in answer.json()["run"]["data"]["tags"]}


def test_a_job_with_a_packed_folder_gives_the_same_model_as_ray_job_submit(
    endpoints: Endpoints, tmp_path: Path
) -> None:
    rows = load_bundled("breast-cancer")
    rows.rows.features.assign(diagnosis=rows.rows.target).to_csv(tmp_path / "cells.csv", index=False)
    options = ["--data", "cells.csv", "--target", "diagnosis", "--trees", "10"]
    plain = ["ray", "job", "submit", "--address", endpoints.ray_url, "--working-dir", ".", "--"]

    by_manta = LocalFolder(tmp_path).run(
        "train", *options, "--address", endpoints.ray_url, "--token", endpoints.ray_token
    )
    by_ray = subprocess.run(
        [str(MANTA.parent / plain[0]), *plain[1:], "python", "-m", "app.train", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=clean_environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": endpoints.ray_token},
        timeout=600,
        check=False,
    )

    assert by_manta.returncode == 0, by_manta.stdout + by_manta.stderr
    assert by_ray.returncode == 0, by_ray.stdout + by_ray.stderr
    manta_result, ray_result = (result(process.stdout) for process in (by_manta, by_ray))
    assert manta_result["fingerprint"] == ray_result["fingerprint"]
    tags = mlflow_run(endpoints, manta_result["run_id"])
    assert tags["data.source"] == "cells.csv"
    assert tags["train.arguments"] == "--data cells.csv --target diagnosis --trees 10"
    assert tags["mlflow.user"] == job_info(endpoints, by_manta.stderr)["metadata"]["user"]


KUBECTL = """#!{python}
import asyncio, sys
async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def accept(reader, writer):
    upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", {upstream})
    await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))
async def main():
    server = await asyncio.start_server(accept, "127.0.0.1", int(sys.argv[-1].split(":")[0]))
    await server.serve_forever()
asyncio.run(main())
"""


def test_a_job_for_a_stack_uses_the_outputs_of_the_stack_and_opens_a_tunnel(
    endpoints: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {
        "context": "minikube",
        "namespace": "manta",
        "image": "manta-ray:1",
        "stack": "dev",
        "rayDashboardUrl": "http://localhost:1",
        "mlflowUrl": "http://localhost:2",
        "serveUrl": "http://localhost:3",
        "rayToken": endpoints.ray_token,
        "forwards": [{"name": "ray", "namespace": "manta", "service": "head", "port": 8265, "localPort": 1}],
    }
    programs = {
        "pulumi": f"#!/bin/sh\necho '{json.dumps(outputs)}'\n",
        "kubectl": KUBECTL.format(python=sys.executable, upstream=httpx.URL(endpoints.ray_url).port),
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    work = tmp_path / "work"
    work.mkdir()

    process = LocalFolder(work).run("train", "--stack", "dev", "--dataset", "breast-cancer", "--trees", "5")

    assert process.returncode == 0, process.stdout + process.stderr
    assert "leads to head:8265" in process.stderr
    tags = mlflow_run(endpoints, result(process.stdout)["run_id"])
    assert (tags["stack"], job_info(endpoints, process.stderr)["metadata"]["stack"]) == ("dev", "dev")


def result(output: str) -> JsonObject:
    """The result that a training job printed."""
    document: JsonObject = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    return document


def job_info(endpoints: Endpoints, stderr: str) -> JsonObject:
    """Ray's description of the job whose id a command printed."""
    job_id = next(line.split()[1] for line in stderr.splitlines() if line.startswith("job manta-"))
    info: JsonObject = httpx.get(
        f"{endpoints.ray_url}/api/jobs/{job_id}", headers=endpoints.ray_headers, timeout=30
    ).json()
    return info


@contextmanager
def training(local: LocalFolder, log: Path, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `manta train` whose job has started."""
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
        wait_until(lambda: "Running entrypoint" in log.read_text(), what="the job", timeout_s=300)
        yield process
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_on_a_terminal_asks_and_stops_the_job_on_request(
    endpoints: Endpoints, local: LocalFolder, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    terminal, stdin = pty.openpty()
    with training(local, log, stdin) as process:
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "go on watching (g)?" in log.read_text(), what="the question", timeout_s=300)
        os.write(terminal, b"s\n")

        code = process.wait(timeout=600)

    os.close(terminal)
    os.close(stdin)
    assert code not in {0, 130}
    assert "ended with status STOPPED" in log.read_text()
    assert job_info(endpoints, log.read_text())["status"] == "STOPPED"


def test_ctrl_c_without_a_terminal_stops_watching_and_prints_how_to_follow_the_job(
    endpoints: Endpoints, local: LocalFolder, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with training(local, log) as process:
        process.send_signal(signal.SIGINT)

        code = process.wait(timeout=600)

    assert code == 130
    assert f"ray job logs --follow --address {endpoints.ray_url} manta-" in log.read_text()
    wait_until(
        lambda: JobState.model_validate(job_info(endpoints, log.read_text())).has_ended,
        what="the job's end",
        timeout_s=300,
    )
    assert job_info(endpoints, log.read_text())["status"] == "SUCCEEDED"


def test_sigterm_stops_the_job(endpoints: Endpoints, local: LocalFolder, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with training(local, log) as process:
        process.terminate()

        code = process.wait(timeout=600)

    assert code == 143
    wait_until(
        lambda: JobState.model_validate(job_info(endpoints, log.read_text())).has_ended,
        what="the job's end",
        timeout_s=300,
    )
    assert job_info(endpoints, log.read_text())["status"] == "STOPPED"
