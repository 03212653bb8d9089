"""Following the log of a job. `tests/integration/cli/test_jobs.py` follows jobs of a real Ray."""

import asyncio

import pytest

from app.cli.endpoints import Endpoints
from app.cli.jobs import job
from app.cli.jobs.job import Job
from app.cli.jobs.ray_jobs_api import JobState, RayJobsApi, UnreachableError


class EndedJobApi(RayJobsApi):
    """Ray with a job that has failed. The first requests for its log fail."""

    def __init__(self, *, failures: int) -> None:
        super().__init__(Endpoints(ray_url="http://127.0.0.1:9"))
        self._failures = failures

    async def state(self, job_id: str) -> JobState:  # noqa: ARG002 - there is one job
        return JobState(status="FAILED", driver_exit_code=1)

    async def log(self, job_id: str) -> str:
        self._failures -= 1
        if self._failures >= 0:
            raise UnreachableError(f"the log of {job_id} cannot be read", next_step="Wait.")
        return "first\nlast\n"


def lines(*, failures: int) -> list[str]:
    async def read() -> list[str]:
        async with EndedJobApi(failures=failures) as api:
            return [line async for line in Job().lines(api)]

    return asyncio.run(read())


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "SLOWEST_POLL_S", 0.01)


def test_the_log_of_an_ended_job_is_read_although_a_request_fails() -> None:
    assert lines(failures=3) == ["first", "last"]


def test_a_log_whose_node_is_gone_is_not_waited_for_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "ENDED_LOG_LIMIT_S", 0.1)

    assert lines(failures=1_000_000) == []
