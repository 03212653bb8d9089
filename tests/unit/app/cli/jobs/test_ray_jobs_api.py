import asyncio
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.cli.endpoints import Endpoints
from app.cli.jobs import ray_jobs_api
from app.cli.jobs.ray_jobs_api import JobSubmitRequest, NoJobAgentError, RayJobsApi, UnreachableError

NO_AGENT = (500, "No available agent to submit job, please try again later.")
"""Ray's answer from job_head.py while the agent of its head node has not started."""

REQUEST = JobSubmitRequest(entrypoint="true", submission_id="manta-1")


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_jobs_api, "AGENT_POLL_S", 0.01)


@contextmanager
def ray_answering(*answers: tuple[int, str]) -> Iterator[tuple[Endpoints, list[str]]]:
    """A web server that gives these answers in turn, the last one for ever, and the paths of the requests."""
    remaining, paths = list(answers), []

    class RequestHandler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            status, text = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Endpoints(ray_url=f"http://127.0.0.1:{server.server_port}"), paths
        finally:
            server.shutdown()
            thread.join()


def submit(endpoints: Endpoints) -> list[str]:
    """Submit the job, and return the reported lines."""
    lines: list[str] = []

    async def run() -> None:
        async with RayJobsApi(endpoints) as api:
            await api.submit(REQUEST, report=lines.append)

    asyncio.run(run())
    return lines


def test_a_job_waits_for_the_job_agent_and_says_so_once() -> None:
    with ray_answering(NO_AGENT, NO_AGENT, (200, "{}")) as (endpoints, paths):
        lines = submit(endpoints)

    assert paths == ["/api/jobs/"] * 3
    assert lines == ["Ray's job agent has not started yet. Waiting for it for at most 120 s ..."]


def test_the_wait_for_the_job_agent_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_jobs_api, "AGENT_TIMEOUT_S", 0.1)

    with ray_answering(NO_AGENT) as (endpoints, paths), pytest.raises(NoJobAgentError) as error:
        submit(endpoints)

    assert len(paths) > 1
    assert "has not started within" in error.value.detail
    assert "dashboard_agent.log" in error.value.next_step


def test_another_error_of_ray_is_not_tried_again() -> None:
    with (
        ray_answering((500, "Traceback\nValueError: no such runtime_env")) as (endpoints, paths),
        pytest.raises(UnreachableError, match="answers 500 to /api/jobs/: ValueError: no such runtime_env"),
    ):
        submit(endpoints)

    assert paths == ["/api/jobs/"]
