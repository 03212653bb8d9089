"""Reads large bodies in separate processes, so that the event loop of a replica never waits for them.

Decoding 8 MB of JSON holds Python's lock for up to half a second. A thread only waits for the process, without the
lock. A process starts with the first large body, and a process that dies or takes too long is replaced.
"""

import asyncio
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, cast

import msgspec
import numpy as np

import app
from app.errors import MantaError, TooLargeError
from app.serving.requests import json_process
from app.serving.requests.body_forms import ROWS, BodyForm
from app.serving.requests.json_protocol import ANSWER, REQUEST, ROWS_OF_BLOCK, AnswerKind, ErrorParts
from app.serving.requests.row_schema import RowSchema
from app.settings import empty_environment

READ_TIMEOUT_S: Final = 10.0
"""Seconds that a process may take for one body. The largest valid body takes less than a second."""


class _DiedError(Exception):
    """The process ended before it had answered."""


class JsonReaders:
    """Processes that read bodies.

    Args:
        processes: Number of processes at most.
        timeout_s: Limit for one body, in seconds.
    """

    def __init__(self, *, processes: int, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(processes)
        self._executor = ThreadPoolExecutor(processes, thread_name_prefix="json")
        self._idle: list[_Reader] = []

    async def read(
        self, body: bytes | bytearray, *, schema: RowSchema, max_rows: int, form: BodyForm = ROWS
    ) -> np.ndarray:
        """Convert a body to a matrix; see `body_forms.read`.

        Raises:
            MantaError: An error of `body_forms.read`, or a `TooLargeError` if the process ran out of time or memory.
        """
        async with self._places:
            reader = self._idle.pop() if self._idle else _Reader()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._timeout_s, reader.kill)
            try:
                result = await loop.run_in_executor(self._executor, reader.read, body, schema, max_rows, form)
            except _DiedError as error:
                raise TooLargeError(
                    "Reading the body took too much time or memory.",
                    allowed=f"JSON that is read within {self._timeout_s:g} s",
                    next_step="Split the rows over several requests, or send them as application/x-npy.",
                ) from error
            except BaseException:  # also a cancelled request: the process has not finished with its body
                reader.kill()
                self._executor.submit(reader.end)
                raise
            finally:
                timer.cancel()
            self._idle.append(reader)
        if isinstance(result, MantaError):
            raise result
        return result

    async def close(self) -> None:
        """End the processes."""
        while self._idle:
            self._executor.submit(self._idle.pop().end)
        await asyncio.to_thread(self._executor.shutdown)


class _Reader:
    """One process. `read` and `end` block, so they run in threads; `read` runs once at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_killed = False

    def kill(self) -> None:
        """Kill the process. A call of `read` then raises `_DiedError`."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """Kill the process and wait for its end."""
        self.kill()
        if self._process is not None:
            self._process.wait()
            _close(self._process)

    def read(
        self, body: bytes | bytearray, schema: RowSchema, max_rows: int, form: BodyForm
    ) -> np.ndarray | MantaError:
        """Send a body to the process and wait for the answer.

        Raises:
            _DiedError: The process ended before it had answered.
        """
        if self._process is not None and self._process.poll() is not None:  # it died while it was idle
            _close(self._process)
            self._process = None
        if self._process is None:
            self._process = _start()
        if self._is_killed:
            self._process.kill()
        try:
            return _exchange(self._process, body, schema, max_rows, form)
        except (OSError, EOFError) as error:
            self.end()
            raise _DiedError from error


def _start() -> subprocess.Popen[bytes]:
    """Start a process without the secrets in the environment of the replica."""
    environment = empty_environment() | {
        "PYTHONPATH": str(Path(app.__path__[0]).parent),
        "OPENBLAS_NUM_THREADS": "1",  # each of its threads would reserve memory
    }
    return subprocess.Popen(
        [sys.executable, "-m", json_process.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the replica, which then ends the process
    )


def _close(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a process that has ended."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what is still buffered cannot be written any more
                pipe.close()


def _exchange(
    process: subprocess.Popen[bytes], body: bytes | bytearray, schema: RowSchema, max_rows: int, form: BodyForm
) -> np.ndarray | MantaError:
    """Write a request and read its answer.

    Raises:
        OSError: The process does not read.
        EOFError: The process does not answer.
    """
    bodies, answers = process.stdin, process.stdout
    if bodies is None or answers is None:
        raise EOFError
    schema_content = msgspec.msgpack.encode(schema)
    head = REQUEST.pack(form.form, form.head_bytes, len(schema_content), max_rows, len(body))
    bodies.write(head + schema_content)
    bodies.write(body)
    bodies.flush()
    kind, first, second = ANSWER.unpack(_read(answers, ANSWER.size))
    if kind == AnswerKind.ERROR:
        return msgspec.msgpack.decode(_read(answers, first), type=ErrorParts).error()
    if kind == AnswerKind.NUMBERS:
        matrix = np.empty((first, second), dtype=np.float64)
        _read_into(answers, matrix.data.cast("B"))
        return matrix
    matrix = np.empty((first, second), dtype=object)
    for start in range(0, first, ROWS_OF_BLOCK):
        _, size, _ = ANSWER.unpack(_read(answers, ANSWER.size))
        matrix[start : start + ROWS_OF_BLOCK] = msgspec.msgpack.decode(_read(answers, size))
    return matrix


def _read(answers: IO[bytes], size: int) -> bytearray:
    content = bytearray(size)
    _read_into(answers, memoryview(content))
    return content


def _read_into(answers: IO[bytes], target: memoryview) -> None:
    """Read until the target is full. The wait does not hold Python's lock.

    Raises:
        EOFError: The answer ends before.
    """
    position = 0
    while position < len(target):
        count = cast("io.BufferedReader", answers).readinto(target[position:])
        if not count:
            raise EOFError
        position += count
