"""The HTTP API of one replica that serves a small model, without servers."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import pandas as pd
from fastapi import FastAPI
from mlflow.entities.model_registry import ModelVersion
from pydantic import SecretStr
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from starlette.types import Message, Scope

from app.models.artifact import Artifact
from app.models.predictor import compile_model
from app.models.signature import Column, Columns
from app.serving import routes
from app.serving.access import AccessRules
from app.serving.loading.served_model import ServedModel
from app.serving.prediction_log.prediction_log import PredictionLog
from app.serving.requests.limits import RequestLimits
from app.serving.schemas import Example
from app.serving.tracing.trace import Tracer
from tests.support.fake_fleet import FakeReplicaGroup
from tests.support.fake_models import FakeRegistry

OPEN = AccessRules(tokens=[], predict_needs_token=False, show_examples=True, webhook_secret=None)
GUARDED = AccessRules(tokens=[SecretStr("secret")], predict_needs_token=True, show_examples=True, webhook_secret=None)
TOKEN = {"authorization": "Bearer secret"}
LIMITS = RequestLimits()
ROWS = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=["a", "b", "c"])
EXAMPLE = ROWS.head(2)
FOREST = RandomForestClassifier(n_estimators=3, max_depth=3, random_state=0).fit(ROWS, ROWS["a"] > 0)
JSON_TYPE = {"content-type": "application/json"}


def artifact(
    model: BaseEstimator = FOREST,
    *,
    columns: Sequence[Column] = (),
    example: pd.DataFrame = EXAMPLE,
    labels: Sequence[bool | str | int | float] = (),
) -> Artifact:
    """An artifact without recorded predictions. By default its columns are those of `ROWS`."""
    return Artifact(
        model=model,
        columns=Columns(columns or [Column(name=name) for name in example.columns]),
        example=example,
        example_predictions=None,
        example_probabilities=None,
        example_labels=list(labels),
    )


@asynccontextmanager
async def replica_api(
    model: Artifact | None = None,
    *,
    limits: RequestLimits = LIMITS,
    access: AccessRules = OPEN,
    log: PredictionLog | None = None,
    tracer: Tracer | None = None,
) -> AsyncIterator[FastAPI]:
    """The API of a replica that serves version 1. `state.member` is the replica."""
    model = model or artifact()
    member = FakeReplicaGroup().add(FakeRegistry())
    api = routes.create_api(
        member.fleet,
        member.follower,
        member.catalog,
        member.catalog_follower,
        member.rollout_follower,
        limits=limits,
        access=access,
        log=log,
        tracer=tracer,
    )
    api.state.member = member
    async with api.router.lifespan_context(api):
        member.replica._served = ServedModel(
            version=ModelVersion(name="m", version="1", creation_timestamp=1_700_000_000_000),
            predictor=compile_model(model, label="m"),
            example=Example(features=model.example.to_numpy().tolist(), labels=model.example_labels),
            self_test="passed",
            loaded_in_ms=1.0,
            files=None,
        )
        yield api


def http_client(api: FastAPI) -> httpx.AsyncClient:
    """A client of the API. An exception in the API gives an answer, as with a server."""
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://replica")


def ask(
    *requests: tuple[str, str, object], model: Artifact | None = None, access: AccessRules = OPEN, token: bool = True
) -> list[httpx.Response]:
    """Send requests, given by method, path and JSON body."""

    async def run() -> list[httpx.Response]:
        async with replica_api(model, access=access) as api, http_client(api) as client:
            headers = TOKEN if token else {}
            return [await client.request(method, path, json=body, headers=headers) for method, path, body in requests]

    return asyncio.run(run())


@dataclass
class RawRequest:
    """A request whose body arrives part by part, as a test decides."""

    path: str
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON_TYPE))
    sent: list[Message] = field(default_factory=list)
    """What the API has sent."""

    async def run(self, api: FastAPI, messages: AsyncIterator[Message]) -> None:
        """Send the request."""

        async def receive() -> Message:
            return await anext(messages)

        async def send(message: Message) -> None:
            self.sent.append(message)

        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        scope: Scope = {"type": "http", "method": "POST", "path": self.path, "query_string": b"", "headers": headers}
        await api(scope, receive, send)

    @property
    def status(self) -> int:
        """Status of the answer."""
        return int(self.sent[0]["status"])


async def parts(chunks: Iterable[bytes], *, is_complete: bool = True) -> AsyncIterator[Message]:
    """The messages of a body. Without its last part the client closes the connection."""
    for chunk in chunks:
        yield {"type": "http.request", "body": chunk, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False} if is_complete else {"type": "http.disconnect"}
