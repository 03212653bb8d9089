"""A training job: its id, and its log, which is followed line by line across lost connections."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Final

from websockets.exceptions import WebSocketException

from app.cli.jobs.ray_jobs_api import JobState, RayJobsApi, UnreachableError
from app.errors import MantaError, PlatformError

FIRST_POLL_S: Final = 0.1
"""First pause between two requests for a job's state and log. It is short, so that the first line comes soon."""

SLOWEST_POLL_S: Final = 1.0
"""Longest pause between two such requests, and the pause before a lost connection is opened again."""

POLL_GROWTH: Final = 1.05
"""Factor between one pause and the next. The longest pause is reached after about 20 s."""

STREAM_FROM_CHARS: Final = 65_536
"""Length from which a log is streamed. A shorter log is read as a whole each time, because that is faster: Ray's
stream checks the log once a second, in two places one after the other."""

ENDED_LOG_LIMIT_S: Final = 15.0
"""Longest time without an answer to a request for the log of a job that has ended. Then its node is gone for good."""

SILENCE_LIMIT_S: Final = 300.0
"""Longest time without an answer from Ray while a job is followed. A lost head needs time to come back."""


class JobError(MantaError):
    """A job failed or was stopped.

    Args:
        detail: How the job ended.
        exit_code: Exit code of the job's process, as a shell shows it.
    """

    title = "Job failed"

    def __init__(self, detail: str, *, next_step: str, exit_code: int) -> None:
        super().__init__(detail, next_step=next_step)
        self.exit_code = exit_code


class Job:
    """A job: its id, and the position in its log after the text that was read.

    Because of the position, following the log can continue after an interruption.
    """

    def __init__(self) -> None:
        self.id = f"manta-{secrets.token_hex(8)}"
        self.is_submitted = False
        self._state = JobState(status="PENDING")
        self._read_chars = 0
        self._incomplete_line = ""

    async def lines(self, api: RayJobsApi) -> AsyncIterator[str]:
        """Yield every line of the log that was not yielded yet, once and in order, until the job has ended.

        A lost connection is opened again. The log is then read from its beginning, and known text is skipped.

        Raises:
            PlatformError: Ray did not answer for `SILENCE_LIMIT_S`, or does not know the job.
        """
        async for text in self._new_text(api):
            *lines, self._incomplete_line = (self._incomplete_line + text).split("\n")
            for line in lines:
                yield line
        if self._incomplete_line:
            last_line, self._incomplete_line = self._incomplete_line, ""
            yield last_line

    def check(self) -> None:
        """Check that the job has succeeded. Call this after `lines` has ended.

        Raises:
            JobError: The job failed or was stopped.
        """
        state = self._state
        if state.status != "SUCCEEDED":
            has_log = self._read_chars > 0
            raise JobError(
                f"The job {self.id} ended with status {state.status}.",
                next_step="Its output above says why." if has_log else state.message or "See Ray's log.",
                exit_code=_shell_exit_code(state.driver_exit_code),
            )

    async def _new_text(self, api: RayJobsApi) -> AsyncIterator[str]:
        """Yield each text that was added to the log.

        The log is read as a whole while it is short and after the job has ended. A long log is streamed.
        """
        pause, last_answer = FIRST_POLL_S, time.monotonic()
        while True:
            try:
                self._state = await api.state(self.id)
                is_gone = self._state.has_ended and time.monotonic() - last_answer > ENDED_LOG_LIMIT_S
                yield self._unread(await self._log(api, is_gone=is_gone))
                last_answer = time.monotonic()
                if self._state.has_ended:
                    return
                if self._read_chars >= STREAM_FROM_CHARS:
                    position = 0
                    async for text in api.stream_log(self.id):
                        yield self._unread(text, position)
                        position += len(text)
                        last_answer = time.monotonic()
            except (OSError, WebSocketException, UnreachableError) as error:
                if time.monotonic() - last_answer > SILENCE_LIMIT_S:
                    raise PlatformError(
                        f"Ray has not answered for {SILENCE_LIMIT_S:.0f} s. The job {self.id} may still run.",
                        next_step=f"Follow it with: ray job logs --follow {self.id}",
                    ) from error
                pause = SLOWEST_POLL_S
            await asyncio.sleep(pause)
            pause = min(SLOWEST_POLL_S, pause * POLL_GROWTH)

    async def _log(self, api: RayJobsApi, *, is_gone: bool) -> str:
        try:
            return await api.log(self.id)
        except UnreachableError:
            if is_gone:
                return ""
            raise

    def _unread(self, text: str, position: int = 0) -> str:
        """Return the unread part of a text that starts at a position of the log, and mark it as read."""
        unread = text[max(0, self._read_chars - position) :]
        self._read_chars += len(unread)
        return unread


def _shell_exit_code(driver_exit_code: int | None) -> int:
    """Exit code of a job as a shell shows it: 128 plus the signal number if a signal ended the job."""
    if not driver_exit_code:
        return 1
    return driver_exit_code if driver_exit_code > 0 else 128 - driver_exit_code
