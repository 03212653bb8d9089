"""What the HTTP API answers where real servers would have to be broken first; `tests/integration` has the rest."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from app import api
from app.openapi import Limits
from app.settings import Settings
from tests.support.fake_fleet import FakePeers, FakeRegistry

ACCESS = api.Access(tokens=[SecretStr("old"), SecretStr("new")], predict_needs_token=True, webhook_secret=None)
ROW = {"features": [[1.0]]}


def ask(scenario: Callable[[httpx.AsyncClient, FakeRegistry], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask one replica, whose every door asks for a token, and which has no champion."""

    async def run() -> httpx.Response:
        registry = FakeRegistry()
        member = FakePeers().add(registry)
        app = api.create(member.fleet, member.follower, limits=Limits(rows=10, body_bytes=1000), access=ACCESS)
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": "Bearer new"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://replica", headers=headers) as client,
        ):
            return await scenario(client, registry)

    return asyncio.run(run())


def test_a_prediction_before_any_load_is_a_problem_that_says_what_to_do() -> None:
    answer = ask(lambda client, _: client.post("/predict", json=ROW))

    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "POST /model/load" in answer.json()["next_step"]


def test_a_load_without_mlflow_is_a_problem_and_changes_nothing() -> None:
    async def scenario(client: httpx.AsyncClient, registry: FakeRegistry) -> httpx.Response:
        assert (await client.post("/model/load", json={"version": "1"})).is_success
        registry.is_down = True
        answer = await client.post("/model/load", json={"version": "2"})
        assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
        return await client.post("/predict", json=ROW)

    assert ask(scenario).json()["model_version"] == "1"


@pytest.mark.parametrize(("token", "status"), [("old", 200), ("new", 200), ("other", 401), ("", 401)])
def test_predictions_ask_for_a_token_where_that_is_set(token: str, status: int) -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry) -> httpx.Response:
        assert (await client.post("/model/load", json={"version": "1"})).is_success
        return await client.post("/predict", json=ROW, headers={"Authorization": f"Bearer {token}"})

    assert ask(scenario).status_code == status


def test_a_token_for_predictions_cannot_be_asked_for_without_one() -> None:
    with pytest.raises(ValidationError, match="MANTA_SERVE_TOKENS"):
        Settings(predict_needs_token=True)
