"""Requests while the fleet swaps, grows and shrinks."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from tests.support.fleet_models import SENT, Versions
from tests.support.ray_cluster import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # the first test waits for the cluster to start

CLIENTS = 12
REQUESTS = 10_000
SWAPS = 10


@dataclass
class Traffic:
    """Requests of several clients, checked as they are answered."""

    cluster: Cluster
    versions: Versions
    settled: str | None
    """The version that every answer must have now; None while a load is under way."""
    wanted: int
    sent: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    async def client(self) -> None:
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=self.cluster.api_url, timeout=60, limits=limits) as http:
            while self.sent < self.wanted and len(self.faults) < 10:
                self.sent += 1
                await self.request(http)

    async def request(self, http: httpx.AsyncClient) -> None:
        settled_before = self.settled
        try:
            answer = await http.post("/predict", json={"features": SENT})
        except httpx.HTTPError as error:
            self.faults.append(repr(error))
            return
        if not answer.is_success:
            self.faults.append(f"{answer.status_code} {answer.text}")
            return
        content = answer.json()
        version = content["model_version"]
        self.seen[version] += 1
        if content["probabilities"] != self.versions.answers[version]:
            self.faults.append(f"version {version} answered {content['probabilities']}")
        if settled_before is not None and settled_before == self.settled and version != settled_before:
            self.faults.append(f"version {version} answered after {settled_before} was everywhere")

    def wait_for(self, enough: int) -> None:
        wait_until(lambda: self.sent >= enough, what=f"{enough} requests", timeout_s=300)

    async def during(self, change: Callable[[], Coroutine[None, None, None]]) -> None:
        """Send until all requests are answered and the change is done."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(change())
            for _ in range(CLIENTS):
                tasks.create_task(self.client())


def test_no_request_of_ten_thousand_fails_over_ten_swaps(cluster: Cluster, versions: Versions) -> None:
    traffic = Traffic(cluster, versions, settled=versions.first, wanted=REQUESTS)

    async def swap() -> None:
        targets = itertools.islice(itertools.cycle([versions.second, versions.first]), SWAPS)
        for number, target in enumerate(targets, start=1):
            enough = number * REQUESTS // (SWAPS + 1)
            await asyncio.to_thread(traffic.wait_for, enough)
            traffic.settled = None
            answer = await asyncio.to_thread(cluster.load, target)
            assert answer.status_code == 200, answer.text
            traffic.settled = target

    asyncio.run(traffic.during(swap))

    assert traffic.faults == []
    assert sum(traffic.seen.values()) == REQUESTS
    assert set(traffic.seen) == {versions.first, versions.second}


def test_no_request_fails_while_the_fleet_grows_and_shrinks(cluster: Cluster, versions: Versions) -> None:
    traffic = Traffic(cluster, versions, settled=versions.first, wanted=1_000_000)

    async def resize() -> None:
        try:
            for replicas in (6, 3):
                await asyncio.to_thread(cluster.scale, replicas)
                await asyncio.to_thread(cluster.settle, replicas)
        finally:
            traffic.wanted = 0

    asyncio.run(traffic.during(resize))

    assert traffic.faults == []
    assert set(traffic.seen) == {versions.first}


def test_replicas_that_start_during_a_load_end_on_its_version(cluster: Cluster, versions: Versions) -> None:
    cluster.hold("promote")

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(cluster.load, versions.second)
        wait_until(lambda: cluster.held("promote"), what="a load before its commit")
        cluster.scale(6)
        cluster.settle(6)
        assert cluster.versions() == [versions.first] * 6
        cluster.let_go()
        answer = load.result()

    assert answer.status_code == 200, answer.text
    assert [replica["version"] for replica in answer.json()["replicas"]] == [versions.second] * 6
    assert cluster.versions() == [versions.second] * 6
