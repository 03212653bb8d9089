"""The HTTP API of one replica without servers. `tests/integration/serving` tests the API with real servers."""

import asyncio
import io
from collections.abc import Awaitable, Callable

import httpx
import numpy as np
import pytest
from pydantic import SecretStr, ValidationError
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.serving import middleware, routes
from app.serving.access import AccessRules
from app.serving.fleet.replica import Replica
from app.serving.requests.limits import RequestLimits
from app.settings import Settings
from tests.support.fake_fleet import FakeReplicaGroup
from tests.support.fake_models import FakeRegistry

ACCESS = AccessRules(
    tokens=[SecretStr("old"), SecretStr("new")], predict_needs_token=True, show_examples=True, webhook_secret=None
)
OPEN = AccessRules(tokens=[], predict_needs_token=False, show_examples=True, webhook_secret=None)
ROW = {"features": [[1.0]]}


def run_scenario(
    scenario: Callable[[httpx.AsyncClient, FakeRegistry], Awaitable[httpx.Response]],
    access: AccessRules = ACCESS,
) -> httpx.Response:
    """Run a scenario with a client of one replica that serves no model yet."""

    async def run() -> httpx.Response:
        registry = FakeRegistry()
        member = FakeReplicaGroup().add(registry)
        app = routes.create_api(
            member.fleet,
            member.follower,
            member.catalog,
            member.catalog_follower,
            member.rollout_follower,
            limits=RequestLimits(rows=10, body_bytes=1000),
            access=access,
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": "Bearer new"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://replica", headers=headers) as client,
        ):
            return await scenario(client, registry)

    return asyncio.run(run())


@pytest.mark.parametrize("access", [ACCESS, OPEN], ids=["with a route", "with a direct handler"])
def test_a_prediction_before_any_load_gets_a_problem_document_with_the_next_step(access: AccessRules) -> None:
    answer = run_scenario(lambda client, _: client.post("/predict", json=ROW), access)

    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "POST /model/load" in answer.json()["next_step"]


@pytest.mark.parametrize("access", [ACCESS, OPEN], ids=["with a route", "with a direct handler"])
def test_an_unexpected_exception_gets_a_problem_document(access: AccessRules, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Replica) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Replica, "require_served", broken)

    answer = run_scenario(lambda client, _: client.post("/predict", json=ROW), access)

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "defect" in answer.json()["detail"]


@pytest.mark.parametrize("access", [ACCESS, OPEN], ids=["with a route", "with a direct handler"])
def test_a_client_that_disconnects_while_it_sends_the_body_causes_no_exception(access: AccessRules) -> None:
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b""}
    scope |= {"headers": [(b"authorization", b"Bearer new")]}
    messages = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    member = FakeReplicaGroup().add(FakeRegistry())
    app = routes.create_api(
        member.fleet,
        member.follower,
        member.catalog,
        member.catalog_follower,
        member.rollout_follower,
        limits=RequestLimits(rows=10, body_bytes=1000),
        access=access,
    )
    asyncio.run(app(scope, receive, send))

    assert messages[0]["status"] == 499


def test_the_route_of_predictions_is_the_first() -> None:
    member = FakeReplicaGroup().add(FakeRegistry())
    app = routes.create_api(
        member.fleet,
        member.follower,
        member.catalog,
        member.catalog_follower,
        member.rollout_follower,
        limits=RequestLimits(rows=10, body_bytes=1000),
        access=ACCESS,
    )

    assert getattr(app.routes[0], "path", "") == "/predict"


def test_the_middleware_disables_the_watch_for_disconnects_and_keeps_other_headers() -> None:
    scopes: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await Response()(scope, receive, send)

    async def send_request() -> None:
        [entry] = middleware.middlewares()
        transport = httpx.ASGITransport(entry.cls(application, *entry.args, **entry.kwargs))
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            await client.post("/predict", headers={"x-other": "kept"})

    asyncio.run(send_request())

    headers = dict(scopes[0]["headers"])
    assert headers[b"x-request-disconnect-disabled"] == b"?1"
    assert headers[b"x-other"] == b"kept"


def test_npy_rows_get_the_same_predictions_as_json_rows() -> None:
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

    assert run_scenario(scenario, OPEN).status_code == 200


def test_the_error_for_an_unknown_content_type_names_the_accepted_types() -> None:
    answer = run_scenario(
        lambda client, _: client.post("/predict", content=b"1,2", headers={"content-type": "text/csv"}), OPEN
    )

    assert answer.status_code == 415
    assert answer.json()["allowed"] == "application/json or application/x-npy"


def test_a_load_while_mlflow_is_down_gets_502_and_changes_nothing() -> None:
    async def scenario(client: httpx.AsyncClient, registry: FakeRegistry) -> httpx.Response:
        assert (await client.post("/model/load", json={"version": "1"})).is_success
        registry.is_down = True
        answer = await client.post("/model/load", json={"version": "2"})
        assert (answer.status_code, answer.headers["content-type"]) == (502, "application/problem+json")
        return await client.post("/predict", json=ROW)

    assert run_scenario(scenario).json()["model_version"] == "1"


@pytest.mark.parametrize(("token", "status"), [("old", 200), ("new", 200), ("other", 401), ("", 401)])
def test_predictions_require_a_token_if_configured(token: str, status: int) -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry) -> httpx.Response:
        assert (await client.post("/model/load", json={"version": "1"})).is_success
        return await client.post("/predict", json=ROW, headers={"Authorization": f"Bearer {token}"})

    assert run_scenario(scenario).status_code == status


def test_settings_that_require_a_token_but_list_none_are_invalid() -> None:
    with pytest.raises(ValidationError, match="MANTA_SERVE_TOKENS"):
        Settings(predict_needs_token=True)
