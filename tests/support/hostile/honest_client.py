"""A client that sends valid predictions all the time, and checks every answer.

The module is run as a program in a separate process, so that the work of a hostile client does not delay it.
"""

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.hostile.body import Body, fixed
from tests.support.hostile.exchange import Target, exchange, messages
from tests.support.json_object import JsonObject
from tests.support.waiting import wait_until

REQUESTS_PER_S: Final = 25
TIMEOUT_S: Final = 10
"""Time after which a request counts as failed."""
P99: Final = 0.99


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """The requests of a period of time."""

    sent: int
    failures: Counter[str]
    """Failed requests by reason."""
    durations_s: list[float]

    @property
    def failed(self) -> int:
        """Number of requests without a right answer."""
        return sum(self.failures.values())

    @property
    def p99_s(self) -> float:
        """The 99th percentile of the durations, also of failed requests; 0 without requests."""
        ordered = sorted(self.durations_s)
        return ordered[min(len(ordered) - 1, int(P99 * len(ordered)))] if ordered else 0.0


class HonestClient:
    """Runs the program while a block is executed.

    Args:
        url: URL of the API.
        message: Body of every request.
        expected: Members that the answer to a request must have, by the version that answers. Answers of other
            versions are not checked. Empty: no answer is checked.
        log: File for the results.
    """

    def __init__(self, url: str, message: JsonObject, expected: dict[str, JsonObject], log: Path) -> None:
        arguments = json.dumps({"url": url, "message": message, "expected": expected})
        self._argv = [sys.executable, "-m", __name__, arguments]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: list[JsonObject] = []
        self._read_bytes = 0

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._argv, cwd=Path(__file__).parents[3], stdout=log)
        wait_until(lambda: self._all_answered_before_s() > 0, what="the honest client")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=20)

    def traffic(self, start_s: float, end_s: float) -> Traffic:
        """The requests that were sent between two points of the monotonic clock. Waits until they are answered."""
        assert self._process is not None
        assert self._process.poll() is None, "the honest client has ended"
        wait_until(lambda: self._all_answered_before_s() >= end_s, what="honest answers", timeout_s=3 * TIMEOUT_S)
        requests = [request for request in self._requests if start_s <= request["sent_s"] < end_s]
        return Traffic(
            sent=len(requests),
            failures=Counter(request["failure"] for request in requests if request["failure"]),
            durations_s=[request["duration_s"] for request in requests],
        )

    def _all_answered_before_s(self) -> float:
        """Read new results, and return when the oldest request without an answer was sent."""
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            complete = log.read().rpartition(b"\n")[0]
        if complete:
            self._read_bytes += len(complete) + 1
            self._requests += [json.loads(line) for line in complete.splitlines()]
        return float(self._requests[-1]["all_answered_before_s"]) if self._requests else 0.0


async def _run(url: str, message: JsonObject, expected: dict[str, JsonObject]) -> None:
    target = Target.of(url)
    body = Body(name="honest", content=fixed(json.dumps(message).encode()))
    [parts] = messages(target, body, [0])
    pending: dict[int, float] = {}
    """When each request without an answer was sent, by its number."""

    async def predict(number: int) -> None:
        sent_s = pending[number] = time.monotonic()
        try:
            answer = await exchange(target, parts, timeout_s=TIMEOUT_S)
            failure = "" if answer.status == 200 else f"{answer.status} {answer.title}"
            if not failure and expected:
                content = json.loads(answer.content)
                wanted = expected.get(content["model_version"], {})
                is_right = all(content[name] == value for name, value in wanted.items())
                failure = "" if is_right else f"wrong answer of version {content['model_version']}"
        except OSError as error:
            failure = f"no connection: {error}"
        del pending[number]
        result = {
            "sent_s": sent_s,
            "duration_s": time.monotonic() - sent_s,
            "failure": failure,
            "all_answered_before_s": min(pending.values(), default=time.monotonic()),
        }
        print(json.dumps(result), flush=True)  # noqa: T201 - read by `HonestClient`

    due_s = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in itertools.count():
            tasks.create_task(predict(number))
            due_s += 1 / REQUESTS_PER_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    asyncio.run(_run(arguments["url"], arguments["message"], arguments["expected"]))
