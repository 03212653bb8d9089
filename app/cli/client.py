"""Speaks to a running platform for the commands: the application's HTTP API, and Ray's Jobs API."""

import json
import logging
import shlex
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
from ray.job_submission import JobStatus, JobSubmissionClient

from app import names
from app.cli.target import Target
from app.errors import LoadInProgressError, MantaError, PlatformError

logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)  # it tells of every closed socket

API_TIMEOUT_S: Final = 120.0
"""The longest silence of the application; loading a large model takes its time."""


class ApiError(MantaError):
    """What the application answered in place of a result."""

    title = "Refused by the application"


def call(target: Target, method: str, path: str, *, message: object = None) -> dict[str, Any]:
    """Send a request to the application's HTTP API.

    Args:
        target: The platform.
        method: HTTP method.
        path: Path below the route prefix.
        message: Body, sent as JSON; None for none.

    Raises:
        ApiError: It answered with a problem document.
        LoadInProgressError: It is busy with a load, and this one may be tried again.
        PlatformError: Nothing answers there, or something else does.
    """
    url = target.api_url + path
    try:
        answer = httpx.request(method, url, json=message, headers=target.serve_headers, timeout=API_TIMEOUT_S)
        content: dict[str, Any] = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, json.JSONDecodeError) as error:
        raise PlatformError(
            f"{url} does not answer as the application does: {error}.",
            next_step="Start the platform with `manta local`, or name another with MANTA_SERVE_URL.",
        ) from error
    if answer.is_error:
        detail = str(content.get("detail", content))
        is_busy = str(content.get("type", "")).endswith(f":{LoadInProgressError.slug()}")
        raise (LoadInProgressError if is_busy else ApiError)(
            detail, allowed=content.get("allowed", ""), next_step=content.get("next_step", "")
        )
    return content


class Job:
    """A training job in Ray.

    Args:
        target: The platform.
        argv: Options of `python -m app.train`.

    Raises:
        PlatformError: Ray does not answer, or refuses the token.
    """

    def __init__(self, target: Target, argv: list[str]) -> None:
        try:
            self._client = JobSubmissionClient(target.ray_url, headers=target.ray_headers)
            self.id = self._client.submit_job(entrypoint=shlex.join(["python", "-m", names.TRAIN_MODULE, *argv]))
        except (ConnectionError, RuntimeError) as error:
            raise PlatformError(
                f"Ray at {target.ray_url} does not take the job: {str(error).splitlines()[0]}",
                next_step="Start the platform with `manta local`, or check MANTA_RAY_URL and RAY_AUTH_TOKEN.",
            ) from error

    async def lines(self) -> AsyncIterator[str]:
        """Follow the job's output until it ends."""
        rest = ""
        async for chunk in self._client.tail_job_logs(self.id):
            *whole, rest = (rest + chunk).split("\n")
            for line in whole:
                yield line
        if rest:
            yield rest

    def stop(self) -> None:
        """Ask Ray to end the job."""
        self._client.stop_job(self.id)

    def check(self) -> None:
        """Make sure that the job has succeeded.

        Raises:
            PlatformError: It failed or was stopped.
        """
        info = self._client.get_job_info(self.id)
        if info.status != JobStatus.SUCCEEDED:
            raise PlatformError(f"The training job {self.id} ended as {info.status}.", next_step="Its output says why.")
