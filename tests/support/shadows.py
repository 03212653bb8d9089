"""Shadows in a fleet of replicas in one process."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx
import numpy as np
from sklearn.linear_model import LinearRegression

from app.models.answers import Answers
from app.models.predictor import Predictor, compile_model
from app.models.signature import Column, Columns
from app.serving import routes
from app.serving.shadow.messages import ShadowFigures
from tests.support.fake_fleet import Member, until
from tests.support.fake_models import ARTIFACT, EXAMPLE, PREDICTOR
from tests.support.replica_api import LIMITS, OPEN, http_client

DOUBLE = compile_model(replace(ARTIFACT, model=LinearRegression().fit(EXAMPLE, 2 * EXAMPLE["a"])), label="m")
"""A model that answers twice the value. The champion answers the value."""

OTHER_COLUMNS = replace(PREDICTOR, columns=Columns([Column(name="b")]))
"""A model with another column than the champion."""


@dataclass
class StuckModel:
    """A model that answers when the test lets it."""

    columns = PREDICTOR.columns
    may_answer: threading.Event = field(default_factory=threading.Event)

    def predict(self, rows: np.ndarray) -> Answers:
        assert self.may_answer.wait(30)
        return PREDICTOR.predict(rows)


class RaisingModel:
    """A model that raises."""

    columns = PREDICTOR.columns

    def predict(self, rows: np.ndarray) -> Answers:
        raise RuntimeError(f"no answer for {rows[0, 0]}")


def predictor(evaluator: object) -> Predictor:
    """A predictor that answers with an object of the test."""
    return replace(PREDICTOR, evaluator=evaluator)  # type: ignore[arg-type] # the object is no `Estimator`


@asynccontextmanager
async def client_of(member: Member, *, shows_examples: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a replica. The followers of the replica do not run."""
    api = routes.create_api(
        member.fleet,
        member.follower,
        member.catalog,
        member.catalog_follower,
        member.rollout_follower,
        limits=LIMITS,
        access=replace(OPEN, show_examples=shows_examples),
    )
    async with http_client(api) as client:
        yield client


async def predict(client: httpx.AsyncClient, *values: float) -> list[float]:
    """Ask for the predictions of rows of one value."""
    answer = await client.post("/predict", json={"features": [[value] for value in values]})
    assert answer.status_code == 200, answer.text
    predictions: list[float] = answer.json()["predictions"]
    return predictions


def figures(member: Member) -> tuple[int, int, int]:
    """Requests, errors and dropped copies of the shadow on one replica."""
    comparison = member.shadows.member.report().comparison
    return (0, 0, 0) if comparison is None else (comparison.requests, comparison.errors, comparison.dropped)


def held(members: list[Member]) -> list[bool]:
    """Which replicas hold the shadow."""
    return [member.shadows.member.report().is_held for member in members]


async def figures_of(member: Member, *, requests: int) -> ShadowFigures:
    """The figures of the fleet, once a replica has compared a number of requests."""
    await until(lambda: figures(member)[0] >= requests)
    status = await member.shadows.describe()
    assert status.figures is not None
    return status.figures


async def poll(member: Member) -> None:
    """Let a replica look after the rollout and the shadow once."""
    reading = await member.rollouts.poll()
    assert reading is not None
    await member.shadows.follow(reading)
