import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.cli.endpoints import Endpoints
from app.cli.jobs import driver
from app.cli.jobs.driver import DriverResources
from app.cli.jobs.ray_jobs_api import RayJobsApi
from app.errors import ParameterError, PlatformError

HEAD = {"state": "ALIVE", "resources_total": {"memory": 2.0 * 2**30}}
WORKER = {"state": "ALIVE", "resources_total": {"CPU": 1.0, "memory": 2.0 * 2**30}}
DEAD_WORKER = {"state": "DEAD", "resources_total": {"CPU": 64.0, "memory": 2.0 * 2**40}}


@pytest.fixture(autouse=True)
def quick_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "QUIET_WAIT_S", 0.0)
    monkeypatch.setattr(driver, "POLL_S", 0.01)


@contextmanager
def ray_with(*nodes: object, pending_answers: int) -> Iterator[tuple[Endpoints, list[str]]]:
    """Ray's dashboard of a cluster whose job is pending for some requests, and the paths of requests to change it."""
    remaining, changes = [{"status": "PENDING", "message": "Job has not started yet."}] * pending_answers, []

    class RequestHandler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state = remaining.pop() if remaining else {"status": "RUNNING"}
            self._send({"data": {"result": {"result": nodes}}} if "nodes" in self.path else state)

        def do_POST(self) -> None:
            changes.append(self.path)
            self._send({})

        def _send(self, document: object) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Endpoints(ray_url=f"http://127.0.0.1:{server.server_port}"), changes
        finally:
            server.shutdown()
            thread.join()


def wait(endpoints: Endpoints, resources: DriverResources, *, timeout_s: float = 60) -> list[str]:
    """Wait for the start of a job, and return the reported lines."""
    lines: list[str] = []

    async def run() -> None:
        async with RayJobsApi(endpoints) as api:
            await driver.wait_for_start(api, "manta-1", resources, timeout_s=timeout_s, report=lines.append)

    asyncio.run(run())
    return lines


def test_a_job_that_waits_for_a_worker_says_what_it_needs_and_what_there_is() -> None:
    with ray_with(HEAD, WORKER, DEAD_WORKER, pending_answers=3) as (endpoints, changes):
        lines = wait(endpoints, DriverResources())

    [line] = lines
    assert line == (
        "waiting for a worker with 0.01 CPU and 0.75 GiB of memory free, at most 60 s: the cluster has 1 worker(s) of "
        "up to 1 CPU and 2 GiB of memory. Ray says: Job has not started yet."
    )
    assert changes == []


def test_a_driver_that_is_larger_than_every_worker_is_reported() -> None:
    with ray_with(HEAD, WORKER, pending_answers=3) as (endpoints, _):
        [line] = wait(endpoints, DriverResources(memory="6Gi"))

    assert "no worker is that large, the largest of the cluster has 1 CPU and 2 GiB of memory" in line


def test_a_job_that_does_not_start_in_time_is_stopped() -> None:
    with (
        ray_with(HEAD, pending_answers=1000) as (endpoints, changes),
        pytest.raises(PlatformError, match=r"not started within 0\.1 s and was stopped.*no worker yet.*--timeout"),
    ):
        wait(endpoints, DriverResources(), timeout_s=0.1)

    assert changes == ["/api/jobs/manta-1/stop"]


@pytest.mark.parametrize(
    ("memory", "size_bytes"), [("4Gi", 2**32), ("512Mi", 2**29), ("1.5Gi", 3 * 2**29), ("2G", 2 * 10**9)]
)
def test_memory_is_given_as_in_kubernetes(memory: str, size_bytes: int) -> None:
    assert DriverResources(memory=memory).memory_bytes == size_bytes


def test_memory_that_is_no_size_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"'much' is no size of memory.*4Gi"):
        _ = DriverResources(memory="much").memory_bytes
