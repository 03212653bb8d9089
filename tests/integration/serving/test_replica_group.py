"""How a broadcast treats the results that Ray Serve returns, without a cluster.

The tests import Ray Serve, which takes too long for unit tests. They import it in the functions, so that the mark below
applies to the warnings of that import.
"""

import asyncio

import pytest

from app.errors import PlatformError
from app.serving.fleet.protocol import Claim, FleetMember, LoadId

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Using extra keyword arguments")

LOAD = LoadId(uuid="1", label="m version 1")
CLAIM = Claim(replica="r0", holder=LOAD, running_load=None, generation=0)


class FakeHandle:
    """A deployment handle whose broadcasts return fixed results, or raise an exception."""

    def __init__(self, *results: object, error: Exception | None = None) -> None:
        self._results = results
        self._error = error
        self.calls: list[tuple[object, ...]] = []
        """The arguments of each broadcast."""

    def broadcast(self, *call: object) -> "FakeHandle":
        self.calls.append(call)
        return self

    async def results_async(self, *, timeout_s: float, return_exceptions: bool) -> list[object]:
        assert timeout_s == 3
        assert return_exceptions
        if self._error is not None:
            raise self._error
        return list(self._results)


def broadcast_claim(handle: FakeHandle, monkeypatch: pytest.MonkeyPatch) -> list[Claim]:
    from app.serving.fleet.replica_group import ServeReplicaGroup  # noqa: PLC0415

    monkeypatch.setattr("ray.serve.get_deployment_handle", lambda *_: handle)
    return asyncio.run(ServeReplicaGroup("app", "deployment").broadcast(FleetMember.claim, 3, LOAD))


def test_a_broadcast_calls_the_method_by_its_name_and_returns_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = FakeHandle(CLAIM, CLAIM)

    claims = broadcast_claim(handle, monkeypatch)

    assert claims == [CLAIM, CLAIM]
    assert handle.calls == [("claim", LOAD)]


def test_a_lost_replica_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.exceptions import ActorDiedError  # noqa: PLC0415

    assert broadcast_claim(FakeHandle(CLAIM, ActorDiedError()), monkeypatch) == [CLAIM]


def test_a_cancelled_call_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broadcast_claim(FakeHandle(CLAIM, asyncio.CancelledError()), monkeypatch) == [CLAIM]


def test_an_exception_of_one_replica_fails_the_broadcast(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlatformError, match=r"Not all replicas answered: claim: It failed\."):
        broadcast_claim(FakeHandle(CLAIM, ValueError("It failed.")), monkeypatch)


def test_a_broadcast_that_is_not_answered_in_time_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlatformError, match="Not all replicas answered: claim"):
        broadcast_claim(FakeHandle(error=TimeoutError()), monkeypatch)


def test_the_deployment_implements_every_method_that_replicas_call() -> None:
    from app.serving.application import ModelServer  # noqa: PLC0415

    assert ModelServer.__abstractmethods__ == frozenset()
