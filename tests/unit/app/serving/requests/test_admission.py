"""Slow, large and many requests: which get a place, what they hold, and when they give it back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from sklearn.base import BaseEstimator, RegressorMixin
from starlette.types import Message

from app.serving.api import Api
from app.serving.predict import PredictionHandler
from app.serving.requests.limits import MAX_BODY_BYTES, SMALL_BODY_BYTES, RequestLimits
from tests.support.replica_api import JSON_TYPE, RawRequest, artifact, http_client, parts, replica_api

ROW = b'{"features": [[1, 2, 3]]}'
LARGE_ROW = b'{"features": [[1, 2, 3]' + b" " * SMALL_BODY_BYTES + b"]}"


class WaitingModel(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A model that predicts once a test lets it."""

    n_features_in_ = 3

    def __init__(self) -> None:
        self.is_allowed = threading.Event()
        self.is_allowed.set()  # for the check of the example when it is loaded

    def predict(self, rows: np.ndarray) -> np.ndarray:
        self.is_allowed.wait(timeout=30)
        return np.zeros(len(rows))


def handler_of(api: FastAPI) -> PredictionHandler:
    assert isinstance(api, Api)
    handler = api._handlers["/predict"].func.__self__.handler  # type: ignore[attr-defined] # a partial of a method
    assert isinstance(handler, PredictionHandler)
    return handler


async def silence() -> AsyncIterator[Message]:
    """The first byte of a body, and then one more byte whenever the client likes."""
    while True:
        yield {"type": "http.request", "body": b" ", "more_body": True}
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the state under test has no event
            await asyncio.sleep(0.005)


def run(scenario: Callable[[FastAPI], Awaitable[None]], model: BaseEstimator | None = None, **limits: float) -> None:
    """Run a scenario with the API of one replica. It holds nothing at the end."""

    async def run_scenario() -> None:
        served = artifact() if model is None else artifact(model)
        async with replica_api(served, limits=RequestLimits(**limits)) as api:  # type: ignore[arg-type] # ints are floats
            await scenario(api)
            handler = handler_of(api)
            await until(lambda: handler.budget.held == 0 and handler.places.taken == 0)

    asyncio.run(run_scenario())


@pytest.mark.parametrize("path", ["/predict", "/model/load"])
def test_a_client_that_trickles_gets_408(path: str) -> None:
    async def scenario(api: FastAPI) -> None:
        request = RawRequest(path)
        await request.run(api, silence())
        assert request.status == 408
        headers = dict(request.sent[0]["headers"])
        assert (headers[b"content-type"], headers[b"connection"]) == (b"application/problem+json", b"close")

    run(scenario, body_timeout_s=0.05)


def test_a_client_that_sends_nothing_gets_408() -> None:
    async def never() -> AsyncIterator[Message]:
        await asyncio.Event().wait()
        yield {}

    async def scenario(api: FastAPI) -> None:
        request = RawRequest("/predict")
        await request.run(api, never())
        assert request.status == 408

    run(scenario, body_timeout_s=0.05)


@pytest.mark.parametrize("size", [0, 10, SMALL_BODY_BYTES, 2 * SMALL_BODY_BYTES])
def test_a_client_that_hangs_up_mid_body_holds_nothing_afterwards(size: int) -> None:
    async def scenario(api: FastAPI) -> None:
        request = RawRequest("/predict")
        await request.run(api, parts([b" " * size, b" "], is_complete=False))
        assert request.status == 499

    run(scenario)


@pytest.mark.parametrize("body", [ROW, LARGE_ROW], ids=["small", "large"])
def test_a_request_that_is_cancelled_while_it_waits_holds_nothing_afterwards(body: bytes) -> None:
    model = WaitingModel()

    async def scenario(api: FastAPI) -> None:
        handler = handler_of(api)
        model.is_allowed.clear()
        tasks = [asyncio.create_task(RawRequest("/predict").run(api, parts([body]))) for _ in range(3)]
        await until(lambda: handler.places.taken == 3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        model.is_allowed.set()

    run(scenario, model, ongoing=1)


def test_a_request_takes_a_place_only_once_its_body_is_there() -> None:
    async def scenario(api: FastAPI) -> None:
        slow = [asyncio.create_task(RawRequest("/predict").run(api, silence())) for _ in range(20)]
        await asyncio.sleep(0)
        async with http_client(api) as client:
            answer = await client.post("/predict", content=LARGE_ROW, headers=JSON_TYPE)
        assert answer.status_code == 200
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    run(scenario, ongoing=1, queued=0)


def test_beyond_the_places_a_prediction_gets_503_and_control_requests_an_answer() -> None:
    model = WaitingModel()

    async def scenario(api: FastAPI) -> None:
        handler = handler_of(api)
        model.is_allowed.clear()
        async with http_client(api) as client:
            waiting = [asyncio.create_task(client.post("/predict", content=ROW, headers=JSON_TYPE)) for _ in range(3)]
            await until(lambda: handler.places.taken == 3)
            refused = await client.post("/predict", content=ROW, headers=JSON_TYPE)
            control = [await client.get("/healthz"), await client.get("/model"), await client.get("/openapi.json")]
            control.append(await client.post("/model/load", json={"version": "1"}))
            model.is_allowed.set()
            answers = await asyncio.gather(*waiting)
        assert_overloaded(refused)
        assert [answer.status_code for answer in control] == [200] * 4
        assert [answer.status_code for answer in answers] == [200] * 3

    run(scenario, model, ongoing=1, queued=2)


def test_large_bodies_share_a_budget_and_small_ones_always_find_a_place() -> None:
    size = 2 * SMALL_BODY_BYTES

    async def scenario(api: FastAPI) -> None:
        handler = handler_of(api)
        finish = asyncio.Event()

        async def slow_body() -> AsyncIterator[Message]:
            yield {"type": "http.request", "body": b" " * size, "more_body": True}
            await finish.wait()
            yield {"type": "http.disconnect"}

        holders = [asyncio.create_task(RawRequest("/predict").run(api, slow_body())) for _ in range(2)]
        await until(lambda: handler.budget.held == 2 * size)
        async with http_client(api) as client:
            assert_overloaded(await client.post("/predict", content=LARGE_ROW, headers=JSON_TYPE))
            assert (await client.post("/predict", content=ROW, headers=JSON_TYPE)).status_code == 200
            finish.set()
            await asyncio.gather(*holders)
            assert (await client.post("/predict", content=LARGE_ROW, headers=JSON_TYPE)).status_code == 200

    run(scenario, held_bytes=2 * size + 100)


def test_a_control_request_with_a_large_body_gets_413() -> None:
    async def scenario(api: FastAPI) -> None:
        async with http_client(api) as client:
            answer = await client.post("/model/load", content=b" " * (SMALL_BODY_BYTES + 1), headers=JSON_TYPE)
        assert answer.status_code == 413

    run(scenario)


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 18, str(MAX_BODY_BYTES + 1)])
def test_a_request_that_announces_too_much_gets_413_before_its_body_is_read(length: str) -> None:
    async def scenario(api: FastAPI) -> None:
        request = RawRequest("/predict", headers=JSON_TYPE | {"content-length": length})
        await request.run(api, parts([]))
        assert request.status == 413

    run(scenario)


def test_a_control_request_with_many_unknown_keys_gets_one_error() -> None:
    async def scenario(api: FastAPI) -> None:
        content = "{" + ",".join(f'"{number}":1' for number in range(6000)) + "}"
        async with http_client(api) as client:
            answer = await client.post("/model/load", content=content, headers=JSON_TYPE)
        assert (answer.status_code, answer.json()["detail"]) == (422, "0 is not known.")

    run(scenario)


def assert_overloaded(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Overloaded"
