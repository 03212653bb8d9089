"""Client of Ray's Jobs REST API. `app.cli.jobs.job` follows a job with it.

The client uses plain HTTP, because importing Ray takes longer than the rest of a submission.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from websockets.asyncio.client import connect

from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.errors import PlatformError, cause

REQUEST_TIMEOUT_S: Final = 60.0
"""Timeout of a request. Ray's dashboard stores an uploaded package before it answers."""

AGENT_TIMEOUT_S: Final = 120.0
"""Longest wait for Ray's job agent. Ray answers requests some seconds before the agent of its head node has started."""

AGENT_POLL_S: Final = 0.5
"""Pause between two attempts to submit a job. Ray itself waits for the agent for 10 s in each attempt."""

NO_AGENT_MESSAGE: Final = "No available agent to submit job"
"""Beginning of the text of Ray's answer 500 if the job agent has not started."""

FINAL_STATUSES: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""Statuses of a job that has ended."""


class UnreachableError(PlatformError):
    """Ray does not answer at the moment. A later request may succeed."""


class NoJobAgentError(UnreachableError):
    """Ray's job agent has not started, so Ray cannot accept a job yet."""


class ClusterVersions(BaseModel):
    """Versions of Ray and Python on a cluster."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    ray_version: str
    python_version: str

    @property
    def python_minor_version(self) -> str:
        """Python's version without its last number, such as 3.12."""
        return self.python_version.rpartition(".")[0]


class JobState(BaseModel):
    """Ray's description of a job's state."""

    model_config = ConfigDict(frozen=True)

    status: str
    message: str | None = None
    driver_exit_code: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended."""
        return self.status in FINAL_STATUSES


class JobSubmitRequest(BaseModel):
    """Body of the request that submits a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entrypoint: str
    """Shell command of the job."""
    submission_id: str
    entrypoint_num_cpus: float | None = None
    """CPUs that Ray reserves for the driver. Ray runs a driver that reserves nothing on the head."""
    entrypoint_memory: int | None = None
    """Bytes of memory that Ray reserves for the driver."""
    runtime_env: JsonObject = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)


class RayJobsApi:
    """Client of Ray's Jobs API, which is part of Ray's dashboard.

    Args:
        endpoints: Address and token of Ray.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._client = httpx.AsyncClient(
            base_url=endpoints.ray_url, headers=endpoints.ray_headers, timeout=REQUEST_TIMEOUT_S, follow_redirects=True
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def versions(self) -> ClusterVersions:
        """Read the cluster's versions of Ray and Python.

        Raises:
            PlatformError: Ray does not answer, or refuses the token.
        """
        response = await self._request("GET", "/api/v0/cluster_metadata")
        return ClusterVersions.model_validate(response.json()["data"])

    async def upload(self, uri: str, content: bytes) -> None:
        """Upload a package, unless Ray has it already.

        Args:
            uri: `gcs://NAME.zip`, where NAME is a digest of the content.
            content: The zip file.

        Raises:
            PlatformError: Ray refuses the package.
        """
        path = "/api/packages/" + uri.replace("://", "/")
        response = await self._request("GET", path, allowed_errors=(httpx.codes.NOT_FOUND,))
        if response.status_code == httpx.codes.NOT_FOUND:
            await self._request("PUT", path, content=content)

    async def submit(self, request: JobSubmitRequest, *, report: Callable[[str], None]) -> None:
        """Submit a job. If Ray's job agent has not started, wait for it.

        Args:
            request: The job.
            report: Receives one line if the job must wait for the job agent.

        Raises:
            NoJobAgentError: The job agent did not start within `AGENT_TIMEOUT_S`.
            PlatformError: Ray does not answer, or refuses the job.
        """
        deadline, is_reported = time.monotonic() + AGENT_TIMEOUT_S, False
        while True:
            try:
                await self._request("POST", "/api/jobs/", json=request.model_dump())
            except NoJobAgentError:
                if time.monotonic() > deadline:
                    raise
            else:
                return
            if not is_reported:
                report(f"Ray's job agent has not started yet. Waiting for it for at most {AGENT_TIMEOUT_S:.0f} s ...")
                is_reported = True
            await asyncio.sleep(AGENT_POLL_S)

    async def stop(self, job_id: str) -> None:
        """Stop a job.

        Raises:
            PlatformError: Ray does not know the job.
        """
        await self._request("POST", f"/api/jobs/{job_id}/stop")

    async def state(self, job_id: str) -> JobState:
        """Read the state of a job.

        Raises:
            PlatformError: Ray does not know the job.
        """
        return JobState.model_validate((await self._request("GET", f"/api/jobs/{job_id}")).json())

    async def nodes(self) -> list[dict[str, float]]:
        """Read the resources of every node that is alive, by their names in Ray, such as `CPU` and `memory`."""
        response = await self._request("GET", "/api/v0/nodes?detail=1&limit=10000")
        nodes: list[JsonObject] = response.json()["data"]["result"]["result"]
        return [node["resources_total"] for node in nodes if node["state"] == "ALIVE"]

    async def log(self, job_id: str) -> str:
        """Read the whole log of a job as it is now."""
        return str((await self._request("GET", f"/api/jobs/{job_id}/logs")).json()["logs"])

    async def stream_log(self, job_id: str) -> AsyncIterator[str]:
        """Stream the log of a job from its beginning, until the job or the connection ends."""
        url = "ws" + self._endpoints.ray_url.rstrip("/").removeprefix("http") + f"/api/jobs/{job_id}/logs/tail"
        async with connect(url, additional_headers=self._endpoints.ray_headers, max_size=None, proxy=None) as stream:
            async for message in stream:
                yield str(message)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        allowed_errors: tuple[int, ...] = (),
        json: object = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send a request.

        Raises:
            NoJobAgentError: Ray answers that its job agent has not started.
            UnreachableError: Ray does not answer, or answers with another status of 500 or above.
            PlatformError: Ray answers with another error status that is not in `allowed_errors`.
        """
        try:
            response = await self._client.request(method, path, json=json, content=content)
        except httpx.TransportError as error:
            raise self._connection_error(error) from error
        if response.is_error and response.status_code not in allowed_errors:
            raise self._status_error(response)
        return response

    def _connection_error(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(
            f"Ray at {self._endpoints.ray_url} does not answer: {cause(error)}.",
            next_step="Start the platform with `manta local` or `pulumi up`, or name another cluster with --address.",
        )

    def _status_error(self, response: httpx.Response) -> PlatformError:
        if response.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return PlatformError(
                f"Ray at {self._endpoints.ray_url} refuses the token.",
                next_step="Give the token of this cluster with --token or RAY_AUTH_TOKEN.",
            )
        if response.is_server_error and response.text.startswith(NO_AGENT_MESSAGE):
            return NoJobAgentError(
                f"The job agent of Ray at {self._endpoints.ray_url} has not started within {AGENT_TIMEOUT_S:.0f} s.",
                next_step="Submit the job again. If the error persists, read dashboard_agent.log in the logs of Ray's "
                "head node, and give the head more CPU or memory.",
            )
        last_line = (response.text.strip().splitlines()[-1:] or [response.reason_phrase])[0]
        error_class = UnreachableError if response.is_server_error else PlatformError
        return error_class(
            f"Ray at {self._endpoints.ray_url} answers {response.status_code} to {response.request.url.path}: "
            f"{last_line[:300]}",
            next_step="Check that --address is the address of Ray's dashboard, and read the dashboard's log.",
        )
