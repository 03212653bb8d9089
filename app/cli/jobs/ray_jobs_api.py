"""A job of Ray's, by its Jobs REST API: sent, followed line by line, stopped.

Plain HTTP, since importing Ray costs more than everything else that a submission does on this side.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any, Final, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from app.cli.endpoints import Target
from app.errors import MantaError, PlatformError

REQUEST_TIMEOUT_S: Final = 60.0
"""The longest silence of Ray's dashboard; it writes an uploaded package to its store before it answers."""

FIRST_POLL_S: Final = 0.1
"""Pause before the second look at a job, whose first line is being waited for."""

SLOWEST_POLL_S: Final = 1.0
"""What that pause grows to, and the pause before a dropped connection is opened again."""

PAUSE_GROWTH: Final = 1.05
"""Factor between two pauses: the longest is reached after some twenty seconds."""

STREAM_FROM: Final = 65_536
"""Characters from which on a log is streamed and not read again as a whole. Ray's stream looks at the log once a second
twice over, so that its lines come later than those of a short log that is read."""

SILENCE_LIMIT_S: Final = 300.0
"""How long a job is waited for while Ray does not answer: a lost head takes its time to come back."""

ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})
"""States of a job that do not change any more."""


class UnreachableError(PlatformError):
    """Ray does not answer now, and may do so again."""


class JobError(MantaError):
    """A job that did not succeed.

    Args:
        detail: How it ended.
        exit_code: What a shell shows of the job's process.
    """

    title = "Job failed"

    def __init__(self, detail: str, *, next_step: str, exit_code: int) -> None:
        super().__init__(detail, next_step=next_step)
        self.exit_code = exit_code


class Versions(BaseModel):
    """What a Ray cluster runs on."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    ray_version: str
    python_version: str


class State(BaseModel):
    """How a job stands."""

    model_config = ConfigDict(frozen=True)

    status: str
    message: str | None = None
    driver_exit_code: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it does not change any more."""
        return self.status in ENDED


class Submission(BaseModel):
    """What Ray is asked to run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entrypoint: str
    """A shell command."""
    submission_id: str
    runtime_env: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)


class Ray:
    """Ray's dashboard, which is also its Jobs API.

    Args:
        target: Its address and token.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._client = httpx.AsyncClient(
            base_url=target.ray_url, headers=target.ray_headers, timeout=REQUEST_TIMEOUT_S, follow_redirects=True
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def versions(self) -> Versions:
        """Ask what the cluster runs on.

        Raises:
            PlatformError: Ray does not answer, or refuses the token.
        """
        answer = await self.ask("GET", "/api/v0/cluster_metadata")
        return Versions.model_validate(answer.json()["data"])

    async def upload(self, uri: str, content: bytes) -> None:
        """Give Ray a package, unless it has it already.

        Args:
            uri: `gcs://NAME.zip`, where the name is a digest of the content.
            content: The zip file.

        Raises:
            PlatformError: Ray does not take it.
        """
        path = "/api/packages/" + uri.replace("://", "/")
        if (await self.ask("GET", path, allowed=(404,))).status_code == httpx.codes.NOT_FOUND:
            await self.ask("PUT", path, content=content)

    async def submit(self, wanted: Submission) -> None:
        """Start a job.

        Raises:
            PlatformError: Ray does not take it.
        """
        await self.ask("POST", "/api/jobs/", json=wanted.model_dump())

    async def stop(self, job_id: str) -> None:
        """Ask Ray to end a job.

        Raises:
            PlatformError: Ray does not know the job.
        """
        await self.ask("POST", f"/api/jobs/{job_id}/stop")

    async def state(self, job_id: str) -> State:
        """Ask how a job stands.

        Raises:
            PlatformError: Ray does not know the job.
        """
        return State.model_validate((await self.ask("GET", f"/api/jobs/{job_id}")).json())

    async def log(self, job_id: str) -> str:
        """Everything that a job has written so far."""
        return str((await self.ask("GET", f"/api/jobs/{job_id}/logs")).json()["logs"])

    async def tail(self, job_id: str) -> AsyncIterator[str]:
        """The log of a job from its beginning, as it grows, until the job ends or the connection does."""
        url = "ws" + self._target.ray_url.rstrip("/").removeprefix("http") + f"/api/jobs/{job_id}/logs/tail"
        async with connect(url, additional_headers=self._target.ray_headers, max_size=None, proxy=None) as stream:
            async for message in stream:
                yield str(message)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        allowed: tuple[int, ...] = (),
        json: object = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send a request; anything but success and the allowed statuses is an error."""
        try:
            answer = await self._client.request(method, path, json=json, content=content)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if answer.is_error and answer.status_code not in allowed:
            raise self._refused(answer)
        return answer

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(
            f"Ray at {self._target.ray_url} does not answer: {error or type(error).__name__}.",
            next_step="Start the platform with `manta local` or `pulumi up`, or name another with --address.",
        )

    def _refused(self, answer: httpx.Response) -> PlatformError:
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return PlatformError(
                f"Ray at {self._target.ray_url} refuses the token.", next_step="Give its own with --token."
            )
        said = answer.text.strip().splitlines()[-1:] or [answer.reason_phrase]
        kind = UnreachableError if answer.is_server_error else PlatformError
        return kind(
            f"Ray at {self._target.ray_url} answers {answer.status_code} to {answer.request.url.path}: {said[0][:300]}",
            next_step="Check that --address is Ray's dashboard, and see its log.",
        )


class Job:
    """A job with its own id; what was read of its log is remembered, so that following can go on after a break."""

    def __init__(self) -> None:
        self.id = f"manta-{secrets.token_hex(8)}"
        self.is_sent = False
        self._state = State(status="PENDING")
        self._seen = 0
        self._rest = ""

    async def lines(self, ray: Ray) -> AsyncIterator[str]:
        """Every line of the log that was not given yet, once and in order, until the job has ended.

        A connection that drops is opened again: the log is read from its beginning, and what was seen is left out.

        Raises:
            PlatformError: Ray did not answer for `SILENCE_LIMIT_S`, or does not know the job.
        """
        async for piece in self._pieces(ray):
            *whole, self._rest = (self._rest + piece).split("\n")
            for line in whole:
                yield line
        if self._rest:
            last, self._rest = self._rest, ""
            yield last

    def check(self) -> None:
        """Make sure that the job has succeeded, after `lines` has come to its end.

        Raises:
            JobError: It failed or was stopped.
        """
        state = self._state
        if state.status != "SUCCEEDED":
            raise JobError(
                f"The job {self.id} ended as {state.status}.",
                next_step="Its output says why." if self._seen else state.message or "Ray's log may say why.",
                exit_code=_exit_code(state.driver_exit_code),
            )

    async def _pieces(self, ray: Ray) -> AsyncIterator[str]:
        """What the log has grown by: read as a whole while it is short and after the end, streamed where it is long."""
        pause, answered = FIRST_POLL_S, time.monotonic()
        while True:
            try:
                self._state = await ray.state(self.id)
                yield self._fresh(await self._log(ray, has_ended=self._state.has_ended))
                answered = time.monotonic()
                if self._state.has_ended:
                    return
                if self._seen >= STREAM_FROM:
                    position = 0
                    async for text in ray.tail(self.id):
                        yield self._fresh(text, position)
                        position += len(text)
                        answered = time.monotonic()
            except (OSError, WebSocketException, UnreachableError) as error:
                if time.monotonic() - answered > SILENCE_LIMIT_S:
                    raise PlatformError(
                        f"Ray has not answered for {SILENCE_LIMIT_S:.0f} s; the job {self.id} may go on.",
                        next_step=f"Follow it with: ray job logs --follow {self.id}",
                    ) from error
                pause = SLOWEST_POLL_S
            await asyncio.sleep(pause)
            pause = min(SLOWEST_POLL_S, pause * PAUSE_GROWTH)

    async def _log(self, ray: Ray, *, has_ended: bool) -> str:
        try:
            return await ray.log(self.id)
        except UnreachableError:
            if has_ended:  # the node with the log is gone, and will not come back
                return ""
            raise

    def _fresh(self, text: str, position: int = 0) -> str:
        """The part of a text that was not read yet, where the text stands at a position of the log."""
        fresh = text[max(0, self._seen - position) :]
        self._seen += len(fresh)
        return fresh


def _exit_code(of_driver: int | None) -> int:
    """The exit code of a job as a shell counts it: a signal's number comes after 128."""
    if not of_driver:
        return 1
    return of_driver if of_driver > 0 else 128 - of_driver
