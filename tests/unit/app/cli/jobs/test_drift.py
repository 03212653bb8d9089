"""The jobs of the schedule of drift: the judgement, and the training that it begins."""

import signal
from collections.abc import Callable
from typing import Self

import pytest
from typer.testing import CliRunner, Result

from app.cli.jobs import drift, follow
from app.cli.jobs.job import JobError
from app.cli.jobs.ray_jobs_api import JobState, JobSubmitRequest
from app.command import single_command_app
from app.drift.hand_over import Retraining
from app.errors import PlatformError
from app.settings import settings
from app.training.options import TrainOptions

JUDGEMENT = "0123456789abcdef0123456789abcdef"
RETRAINING = Retraining(judgement=JUDGEMENT, options=TrainOptions(data="/a b.csv", target="sold", trees=7))


class Ray:
    """Ray's Jobs API. The judging job prints some lines, and the training one line.

    Args:
        judgement: Returns the lines of the judging job by its id.
        statuses: Status of each job. A job that runs sends SIGTERM to this process when its log is read.
    """

    def __init__(self, judgement: Callable[[str], list[str]], *statuses: str) -> None:
        self.judgement = judgement
        self.statuses = statuses
        self.submitted: list[JobSubmitRequest] = []
        self.stopped: list[str] = []

    def __call__(self, _: object) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def submit(self, request: JobSubmitRequest, *, report: object) -> None:
        del report
        self.submitted.append(request)

    async def state(self, job_id: str) -> JobState:
        index = [request.submission_id for request in self.submitted].index(job_id)
        return JobState(status=self.statuses[index])

    async def log(self, job_id: str) -> str:
        if (await self.state(job_id)).status == "RUNNING":
            signal.raise_signal(signal.SIGTERM)
        lines = ["training ..."] if job_id != self.submitted[0].submission_id else self.judgement(job_id)
        return "\n".join([*lines, ""])

    async def stop(self, job_id: str) -> None:
        self.stopped.append(job_id)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ray], Result]:
    """Runs the module against a Ray, as the schedule does."""
    monkeypatch.setenv("MANTA_USER", "drift-schedule")
    settings.cache_clear()

    def run_module(ray: Ray) -> Result:
        monkeypatch.setattr(drift, "RayJobsApi", ray)
        monkeypatch.setattr(follow, "RayJobsApi", ray)
        return CliRunner().invoke(single_command_app(drift.judge), ["--address", "http://127.0.0.1:1"])

    return run_module


def begins(job_id: str) -> list[str]:
    return ["m version 3: retraining begins: why.", RETRAINING.to_line(job_id)]


def test_without_a_retraining_only_the_judgement_runs(run: Callable[[Ray], Result]) -> None:
    ray = Ray(lambda _: ["m version 3, the last 7d: no drift (99 rows)"], "SUCCEEDED")

    result = run(ray)

    [judgement] = ray.submitted
    assert judgement.entrypoint == f"python -m app.drift.scheduled --hand-over {judgement.submission_id}"
    assert result.exit_code == 0
    assert result.output == "m version 3, the last 7d: no drift (99 rows)\n"


def test_a_retraining_is_a_job_of_its_own_that_names_its_judgement(run: Callable[[Ray], Result]) -> None:
    ray = Ray(begins, "SUCCEEDED", "SUCCEEDED")

    result = run(ray)

    judgement, training = ray.submitted
    assert training.entrypoint == "python -m app.train --data '/a b.csv' --target sold --trees 7"
    assert training.submission_id != judgement.submission_id
    assert training.runtime_env == {"env_vars": {"MANTA_USER": "drift-schedule", "MANTA_RETRAIN_JUDGEMENT": JUDGEMENT}}
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "m version 3: retraining begins: why.",
        f"The retraining runs as the job {training.submission_id}. Stop it with: ray job stop {training.submission_id}",
        "training ...",
    ]


def test_a_line_with_the_marker_of_another_job_is_printed_and_begins_nothing(run: Callable[[Ray], Result]) -> None:
    ray = Ray(lambda _: [RETRAINING.to_line("manta-0000000000000000")], "SUCCEEDED")

    result = run(ray)

    assert len(ray.submitted) == 1
    assert result.output.startswith("manta-0000000000000000 {")


def test_a_judgement_that_fails_for_another_model_still_begins_the_training(run: Callable[[Ray], Result]) -> None:
    ray = Ray(begins, "FAILED", "SUCCEEDED")

    result = run(ray)

    assert len(ray.submitted) == 2
    assert isinstance(result.exception, JobError)
    assert ray.submitted[0].submission_id in str(result.exception)


def test_a_training_that_fails_fails_the_command(run: Callable[[Ray], Result]) -> None:
    ray = Ray(begins, "SUCCEEDED", "FAILED")

    result = run(ray)

    assert isinstance(result.exception, JobError)
    assert ray.submitted[1].submission_id in str(result.exception)


def test_a_training_that_cannot_be_read_is_not_submitted(run: Callable[[Ray], Result]) -> None:
    ray = Ray(lambda job_id: [f"{job_id} {{}}"], "SUCCEEDED")

    result = run(ray)

    assert len(ray.submitted) == 1
    assert isinstance(result.exception, PlatformError)


@pytest.mark.parametrize("statuses", [("RUNNING",), ("SUCCEEDED", "RUNNING")])
def test_sigterm_stops_the_job_that_runs(run: Callable[[Ray], Result], statuses: tuple[str, ...]) -> None:
    ray = Ray(begins, *statuses)

    result = run(ray)

    assert len(ray.submitted) == len(statuses)
    assert ray.stopped == [ray.submitted[-1].submission_id]
    assert result.exit_code == 143
