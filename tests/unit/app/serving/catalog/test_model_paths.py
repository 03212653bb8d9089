"""The HTTP paths of the models by name."""

import asyncio
import copy
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import httpx
import pytest
from pydantic import SecretStr

from app.serving import model_paths, routes
from app.serving.access import AccessRules
from app.serving.requests.limits import RequestLimits
from app.serving.schemas import ModelSummary
from app.setting_values import PredictToken
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import MODEL, MODEL_BYTES, FakeRegistry
from tests.support.replica_api import GUARDED, OPEN, TOKEN, http_client

ROW = {"features": [[1.0]]}
LIMITED = AccessRules(
    tokens=GUARDED.tokens,
    predict_needs_token=True,
    show_examples=True,
    webhook_secret=None,
    predict_tokens=[
        PredictToken(token=SecretStr("any")),
        PredictToken(token=SecretStr("only-a"), model="a"),
        PredictToken(token=SecretStr("only-default"), model=MODEL),
    ],
)

Scenario = Callable[[httpx.AsyncClient, FakeRegistry, Member], Awaitable[None]]


def run(scenario: Scenario, access: AccessRules = OPEN) -> None:
    """Run a scenario with a client of one replica, whose default model and the models a and b have champions."""

    async def start() -> None:
        group, registry = FakeReplicaGroup(), FakeRegistry()
        registry.alias = "1"
        registry.champions = {"a": "1", "b": "2"}
        member = group.add(registry)
        api = routes.create_api(
            member.fleet,
            member.follower,
            member.catalog,
            member.catalog_follower,
            member.rollout_follower,
            limits=RequestLimits(),
            access=access,
        )
        async with api.router.lifespan_context(api), http_client(api) as client:
            await member.catalog_follower.poll()
            await scenario(client, registry, member)

    asyncio.run(start())


def test_a_model_answers_by_its_name_in_every_protocol() -> None:
    tensor = {"name": "a", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}

    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, __: Member) -> None:
        default = (await client.post("/predict", json=ROW)).json()
        own = (await client.post("/models/b/predict", json=ROW)).json()
        inference = (await client.post("/v2/models/b/infer", json={"inputs": [tensor]})).json()
        other_version = (await client.post("/v2/models/b/versions/5/infer", json={"inputs": [tensor]})).json()
        own_form = (await client.post("/models/b/versions/5/predict", json=ROW)).json()

        assert (own["predictions"], own["model_version"]) == (default["predictions"], "2")
        assert (inference["model_name"], inference["model_version"]) == ("b", "2")
        assert (other_version["model_version"], other_version["outputs"]) == ("5", inference["outputs"])
        assert (own_form["model_version"], own_form["predictions"]) == ("5", own["predictions"])

    run(scenario)


def test_the_list_says_what_each_model_does() -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, __: Member) -> None:
        await client.post("/models/a/predict", json=ROW)
        await client.post("/predict", json=ROW)

        content = (await client.get("/models")).json()

        default, a, b = content["models"]
        assert (default["name"], default["is_default"], default["state"]) == (MODEL, True, "loaded")
        assert (default["replicas"], default["requests"]) == (1, 1)
        assert (a["state"], a["version"], a["size_bytes"], a["requests"]) == ("loaded", "1", MODEL_BYTES, 1)
        assert a["last_used"]
        assert (b["name"], b["state"], b["champion"], b["version"]) == ("b", "not loaded", "2", None)
        assert (content["memory_limit_bytes"], content["trouble"]) == (10 * MODEL_BYTES, None)

    run(scenario)


def test_the_description_of_a_model_names_its_columns_once_it_is_loaded() -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, __: Member) -> None:
        before = (await client.get("/models/a")).json()
        await client.post("/models/a/predict", json=ROW)
        after = (await client.get("/models/a")).json()
        default = (await client.get(f"/models/{MODEL}")).json()

        assert (before["model_loaded"], before["columns"]) == (False, [])
        assert (after["model_loaded"], after["columns"], after["model_info"]["name"]) == (True, ["a"], "a")
        assert default["model_info"]["name"] == MODEL

    run(scenario)


def test_a_load_and_the_end_of_a_model_need_the_token() -> None:
    async def scenario(client: httpx.AsyncClient, registry: FakeRegistry, _: Member) -> None:
        refused = [await client.post("/models/a/load"), await client.delete("/models/a")]
        loaded = await client.post("/models/a/load", json={"version": "4"}, headers=TOKEN)
        ended = await client.delete("/models/b", headers=TOKEN)

        assert [answer.status_code for answer in refused] == [401, 401]
        assert (loaded.status_code, loaded.json()["model_info"]["version"]) == (200, "4")
        assert ended.json() == {"name": "b", "is_served": False}
        assert registry.champions == {"a": "4"}

    run(scenario, GUARDED)


def test_a_load_of_the_default_model_by_its_name_is_a_load_of_the_service() -> None:
    async def scenario(client: httpx.AsyncClient, registry: FakeRegistry, member: Member) -> None:
        answer = await client.post(f"/models/{MODEL}/load", json={"version": "3"})

        assert answer.status_code == 200
        assert (registry.alias, member.replica.served_version) == ("3", "3")

    run(scenario)


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/models/other/predict", ROW, 404),
        ("GET", "/models/other", None, 404),
        ("DELETE", "/models/other", None, 404),
        ("DELETE", f"/models/{MODEL}", None, 409),
        ("POST", "/models/a%2Fb/predict", ROW, 404),
        ("POST", "/models/%2e%2e/predict", ROW, 404),
        ("POST", "/models/a' OR name != '/load", None, 404),
        ("POST", "/models/a/load", {"version": "x"}, 422),
        ("POST", "/models/a/load", {"name": "b"}, 422),
        ("POST", "/models/a/load", {"version": "1", "alias": "champion"}, 422),
        ("POST", "/models/a/predict", {"features": [[1.0, 2.0]]}, 422),
        ("GET", "/models/%2e%2e%2fmodel", None, 404),
        ("GET", "/models/a%00", None, 404),
        ("POST", "/models/..%5ca/load", None, 404),
        ("POST", "/models/a%0a/load", None, 404),
        ("DELETE", "/models/%2fetc%2fpasswd", None, 404),
        ("PUT", "/models/a", None, 405),
    ],
)
def test_an_invalid_request_gets_a_problem_document(method: str, path: str, content: object, status: int) -> None:
    async def scenario(client: httpx.AsyncClient, registry: FakeRegistry, _: Member) -> None:
        answer = await client.request(method, path, json=content)

        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert registry.champions == {"a": "1", "b": "2"}

    run(scenario)


def test_the_openapi_document_describes_each_model_in_memory_with_its_columns() -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, __: Member) -> None:
        await client.post("/models/a/predict", json=ROW)

        paths = (await client.get("/openapi.json")).json()["paths"]

        content = paths["/models/a/predict"]["post"]["requestBody"]["content"]["application/json"]
        _, by_name = content["schema"]["oneOf"]
        assert list(by_name["properties"]["rows"]["items"]["properties"]) == ["a"]
        assert next(example["value"] for example in content["examples"].values()) == {"features": [[1.0]]}
        assert "/models/b/predict" not in paths

    run(scenario)


@pytest.mark.parametrize(
    ("token", "statuses"),
    [
        ("any", [200, 200, 200, 401]),
        ("only-a", [401, 200, 401, 401]),
        ("secret", [200, 200, 200, 200]),
        ("", [401, 401, 401, 401]),
    ],
)
def test_a_token_for_predictions_is_accepted_for_its_models_only(token: str, statuses: list[int]) -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, __: Member) -> None:
        headers = {"authorization": f"Bearer {token}"}
        paths = ["/predict", "/models/a/predict", "/models/b/predict"]

        answers = [await client.post(path, json=ROW, headers=headers) for path in paths]
        metadata = [await client.get(f"/v2/models/{name}/ready", headers=headers) for name in (MODEL, "a", "b")]
        load = await client.post("/models/a/load", json={"version": "1"}, headers=headers)

        assert [*(answer.status_code for answer in answers), load.status_code] == statuses
        assert [answer.status_code for answer in metadata] == statuses[:3]

    run(scenario, LIMITED)


def test_an_openapi_document_keeps_no_model_in_memory() -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, member: Member) -> None:
        await client.post("/models/a/predict", json=ROW)
        await client.get("/openapi.json")

        await client.delete("/models/a")

        assert member.catalog.budget.held_bytes == 0
        assert "/models/a/predict" not in (await client.get("/openapi.json")).json()["paths"]

    run(scenario)


def test_predictions_do_not_wait_for_the_list_of_a_thousand_models(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    summarize = model_paths._summary

    def observe(name: str, *args: Any, **kwargs: Any) -> ModelSummary:  # noqa: ANN401 - passed on unchanged
        threads.append(threading.current_thread())
        return summarize(name, *args, **kwargs)

    monkeypatch.setattr(model_paths, "_summary", observe)

    async def scenario(client: httpx.AsyncClient, registry: FakeRegistry, member: Member) -> None:
        registry.champions = {f"model-{index:04}": "1" for index in range(1000)}
        await member.catalog_follower.poll()

        models = (await client.get("/models")).json()["models"]

        assert [model["name"] for model in models] == [MODEL, *registry.champions]
        assert len(threads) == 1001
        assert threading.main_thread() not in threads

    run(scenario)


def test_a_wrong_method_gets_all_methods_of_the_path() -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, __: Member) -> None:
        answers = [await client.patch(path) for path in ("/models/a", "/models/a/predict", "/v2/models/a/infer")]

        assert [answer.status_code for answer in answers] == [405, 405, 405]
        assert [answer.headers["allow"] for answer in answers] == ["DELETE, GET", "POST", "POST"]

    run(scenario)


def test_a_model_that_crashes_gets_errors_of_each_protocol_and_harms_no_other() -> None:
    tensor = {"name": "a", "shape": [1, 1], "datatype": "FP64", "data": [1.0]}

    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, member: Member) -> None:
        await client.post("/models/a/predict", json=ROW)
        model = member.catalog.model("a").served
        assert model is not None
        broken = copy.copy(model.predictor)
        object.__setattr__(broken, "predict", mock.Mock(side_effect=RuntimeError("a defect of the model")))
        member.catalog.model("a").replica._served = replace(model, predictor=broken)

        problem = await client.post("/models/a/predict", json=ROW)
        error = await client.post("/v2/models/a/infer", json={"inputs": [tensor]})

        assert (problem.status_code, problem.headers["content-type"]) == (500, "application/problem+json")
        assert (error.status_code, list(error.json())) == (500, ["error"])
        assert (await client.post("/models/b/predict", json=ROW)).status_code == 200
        assert (await client.post("/predict", json=ROW)).status_code == 200

    run(scenario)


@pytest.mark.parametrize(
    ("token", "shown"), [("only-a", {"a"}), ("only-default", {MODEL}), ("any", {MODEL, "a", "b"}), ("", set())]
)
def test_the_openapi_document_shows_examples_of_the_models_that_a_token_is_accepted_for(
    token: str, shown: set[str]
) -> None:
    async def scenario(client: httpx.AsyncClient, _: FakeRegistry, __: Member) -> None:
        for name in ("a", "b"):
            await client.post(f"/models/{name}/predict", json=ROW, headers=TOKEN)
        await client.get("/openapi.json", headers=TOKEN)

        paths = (await client.get("/openapi.json", headers={"authorization": f"Bearer {token}"})).json()["paths"]

        bodies = {name: paths[f"/models/{name}/predict"]["post"]["requestBody"] for name in (MODEL, "a", "b")}
        assert {name for name, body in bodies.items() if body["content"]["application/json"]["examples"]} == shown
        default = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]
        assert bool(default["examples"]) == (MODEL in shown)

    run(scenario, LIMITED)
