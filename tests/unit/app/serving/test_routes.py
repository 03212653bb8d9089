"""What the HTTP API answers where real servers would have to be broken first; `tests/integration` has the rest."""

import asyncio
import io
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr, ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.serving import middleware, routes
from app.serving.fleet.replica import Replica
from app.serving.requests.limits import RequestLimits
from app.settings import Settings
from tests.support.fake_fleet import FakeRegistry, FakeReplicaGroup

ACCESS = routes.AccessRules(tokens=[SecretStr("old"), SecretStr("new")], predict_needs_token=True, webhook_secret=None)
OPEN = routes.AccessRules(tokens=[], predict_needs_token=False, webhook_secret=None)
ROW = {"features": [[1.0]]}


def ask(
    scenario: Callable[[httpx.AsyncClient, FakeRegistry], Awaitable[httpx.Response]],
    access: routes.AccessRules = ACCESS,
) -> httpx.Response:
    """Ask one replica, whose every door asks for a token unless said otherwise, and which has no champion."""

    async def run() -> httpx.Response:
        registry = FakeRegistry()
        member = FakeReplicaGroup().add(registry)
        app = routes.create_api(
            member.fleet, member.follower, limits=RequestLimits(rows=10, body_bytes=1000), access=access
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": "Bearer new"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://replica", headers=headers) as client,
        ):
            return await scenario(client, registry)

    return asyncio.run(run())


@pytest.mark.parametrize("access", [ACCESS, OPEN], ids=["by FastAPI's way", "by the short one"])
def test_a_prediction_before_any_load_is_a_problem_that_says_what_to_do(access: routes.AccessRules) -> None:
    answer = ask(lambda client, _: client.post("/predict", json=ROW), access)

    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "POST /model/load" in answer.json()["next_step"]


@pytest.mark.parametrize("access", [ACCESS, OPEN], ids=["by FastAPI's way", "by the short one"])
def test_a_defect_is_a_problem_too(access: routes.AccessRules, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Replica) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Replica, "require_served", broken)

    answer = ask(lambda client, _: client.post("/predict", json=ROW), access)

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "defect" in answer.json()["detail"]


@pytest.mark.parametrize("access", [ACCESS, OPEN], ids=["by FastAPI's way", "by the short one"])
def test_a_client_that_hangs_up_in_its_body_is_no_defect(access: routes.AccessRules) -> None:
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}
    scope |= {"headers": [(b"authorization", b"Bearer new")]}
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    member = FakeReplicaGroup().add(FakeRegistry())
    app = routes.create_api(
        member.fleet, member.follower, limits=RequestLimits(rows=10, body_bytes=1000), access=access
    )
    asyncio.run(app(scope, receive, send))

    assert sent[0]["status"] == 499


def test_serve_comes_to_the_busiest_route_first() -> None:
    member = FakeReplicaGroup().add(FakeRegistry())
    app = routes.create_api(
        member.fleet, member.follower, limits=RequestLimits(rows=10, body_bytes=1000), access=ACCESS
    )

    assert getattr(app.routes[0], "path", "") == "/predict"


def test_serve_is_told_not_to_watch_for_clients_that_hang_up() -> None:
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await Response()(scope, receive, send)

    async def ask_once() -> None:
        [outer] = middleware.middlewares()
        transport = httpx.ASGITransport(outer.cls(application, *outer.args, **outer.kwargs))
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            await client.post("/predict", headers={"x-own": "kept"})

    asyncio.run(ask_once())

    headers = dict(seen[0]["headers"])
    assert headers[b"x-request-disconnect-disabled"] == b"?1"
    assert headers[b"x-own"] == b"kept"


def test_rows_as_an_array_are_answered_like_rows_as_json() -> None:
    array = io.BytesIO()
    np.save(array, np.array([[1.0]], dtype=np.float32))

    async def scenario(client: httpx.AsyncClient, _: FakeRegistry) -> httpx.Response:
        assert (await client.post("/model/load", json={"version": "1"})).is_success
        as_json = await client.post("/predict", json=ROW)
        answer = await client.post(
            "/predict", content=array.getvalue(), headers={"content-type": "application/x-npy; v=1"}
        )
        assert answer.json()["predictions"] == as_json.json()["predictions"]
        return answer

    assert ask(scenario, OPEN).status_code == 200


def test_a_body_of_another_type_is_a_problem_that_names_both_types() -> None:
    answer = ask(lambda client, _: client.post("/predict", content=b"1,2", headers={"content-type": "text/csv"}), OPEN)

    assert answer.status_code == 415
    assert answer.json()["allowed"] == "application/json or application/x-npy"


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
