"""During a rollout the log names the version that answered."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
from starlette.requests import Request

from app.serving.loading.served_model import ServedModel
from app.serving.measures.measures import Measures
from app.serving.predict import PredictionHandler
from app.serving.prediction_log.prediction_log import PredictionLog
from app.serving.protocols import rows
from app.serving.requests.limits import RequestLimits
from app.serving.rollout.counts import CHALLENGER, CHAMPION, Assignment, RolloutCounts
from app.serving.rollout.policy import Policy, RolloutState
from app.serving.rollout.recent_answers import RecentAnswers
from app.serving.rollout.split import Split
from app.settings import Settings
from tests.support.fake_models import served_model
from tests.support.memory_log import MemoryStore
from tests.support.replica_api import parts


class OneSided(Split):
    """Gives every request to one side."""

    side = CHAMPION

    def assign(self, headers: Mapping[str, str]) -> Assignment:
        return super().assign(headers)._replace(side=self.side)


@dataclass
class Source:
    """The champion during a rollout."""

    split: Split
    served: ServedModel
    name: str = "m"
    role: str = "champion"
    shadow: None = None

    async def require(self) -> ServedModel:
        return self.served


def request(messages: AsyncIterator[object]) -> Request:
    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"a")]
    return Request({"type": "http", "headers": headers}, lambda: anext(messages))  # type: ignore[arg-type] # messages of ASGI


@pytest.mark.parametrize(("side", "version", "role"), [(CHAMPION, "1", "champion"), (CHALLENGER, "2", "challenger")])
def test_the_answer_that_is_sent_is_logged_with_its_version(side: int, version: str, role: str) -> None:
    store, policy = MemoryStore(), Policy()
    log = PredictionLog(store, Settings(), writer="r")
    handler = PredictionHandler(limits=RequestLimits(), threads=1, measures=Measures(), log=log)
    state = RolloutState(id="r", version="2", champion="1", policy=policy, started_s=0, step=0)
    split = OneSided(state, served_model("2"), RolloutCounts.empty(policy), RecentAnswers())
    split.side = side

    asyncio.run(handler.handle(request(parts([b'{"features": [[1]]}'])), Source(split, served_model("1")), rows.WIRE))
    log._writer.write()

    assert [(row["request_id"], row["version"], row["role"]) for row in store.rows()] == [("a", version, role)]
