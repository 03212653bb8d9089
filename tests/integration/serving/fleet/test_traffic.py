"""Predictions while the fleet swaps versions, grows and shrinks."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from tests.support.fleet_models import REQUEST_ROWS, Versions
from tests.support.ray_cluster import Cluster
from tests.support.waiting import wait_until

CLIENTS = 12
REQUESTS = 10_000
SWAPS = 10
SLOW_REQUESTS = 200
"""Requests to a slow version: 25 seconds of work for each of four replicas."""


@dataclass
class Traffic:
    """Requests of several clients. Each answer is checked."""

    cluster: Cluster
    versions: Versions
    expected_version: str | None
    """The version that every answer must have; None while a load is in progress."""
    target: int
    """Number of requests to send."""
    sent: int = 0
    answers_by_version: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    async def client(self) -> None:
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=self.cluster.api_url, timeout=60, limits=limits) as http:
            while self.sent < self.target and len(self.failures) < 10:
                self.sent += 1
                await self.request(http)

    async def request(self, http: httpx.AsyncClient) -> None:
        expected_before = self.expected_version
        try:
            answer = await http.post("/predict", json={"features": REQUEST_ROWS})
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
            return
        if not answer.is_success:
            self.failures.append(f"{answer.status_code} {answer.text}")
            return
        content = answer.json()
        version = content["model_version"]
        self.answers_by_version[version] += 1
        if content["probabilities"] != self.versions.answers[version]:
            self.failures.append(f"version {version} answered {content['probabilities']}")
        if expected_before is not None and expected_before == self.expected_version and version != expected_before:
            self.failures.append(f"version {version} answered after every replica served {expected_before}")

    def wait_for_requests(self, count: int) -> None:
        wait_until(lambda: self.sent >= count, what=f"{count} requests", timeout_s=300)

    async def during(self, change: Callable[[], Coroutine[None, None, None]]) -> None:
        """Send requests until all are answered and the change has ended."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(change())
            for _ in range(CLIENTS):
                tasks.create_task(self.client())


def test_no_request_of_ten_thousand_fails_over_ten_swaps(cluster: Cluster, versions: Versions) -> None:
    traffic = Traffic(cluster, versions, expected_version=versions.first, target=REQUESTS)

    async def swap() -> None:
        targets = itertools.islice(itertools.cycle([versions.second, versions.first]), SWAPS)
        for number, target in enumerate(targets, start=1):
            await asyncio.to_thread(traffic.wait_for_requests, number * REQUESTS // (SWAPS + 1))
            traffic.expected_version = None
            answer = await asyncio.to_thread(cluster.load, target)
            assert answer.status_code == 200, answer.text
            traffic.expected_version = target

    asyncio.run(traffic.during(swap))

    assert traffic.failures == []
    assert sum(traffic.answers_by_version.values()) == REQUESTS
    assert set(traffic.answers_by_version) == {versions.first, versions.second}


def test_no_request_fails_while_the_fleet_grows_and_shrinks(cluster: Cluster, versions: Versions) -> None:
    traffic = Traffic(cluster, versions, expected_version=versions.first, target=1_000_000)

    async def resize() -> None:
        try:
            for replicas in (6, 3):
                await asyncio.to_thread(cluster.scale, replicas)
                await asyncio.to_thread(cluster.wait_for_replicas, replicas)
        finally:
            traffic.target = 0

    asyncio.run(traffic.during(resize))

    assert traffic.failures == []
    assert set(traffic.answers_by_version) == {versions.first}


def test_a_slow_version_under_full_load_can_be_replaced_at_once(cluster: Cluster, versions: Versions) -> None:
    (cluster.folder / "slow").touch()
    assert cluster.load(versions.second).status_code == 200
    cluster.remove_hooks()
    slow = Traffic(cluster, versions, expected_version=None, target=SLOW_REQUESTS)

    async def replace() -> None:
        clients = [asyncio.create_task(slow.client()) for _ in range(SLOW_REQUESTS)]
        await asyncio.to_thread(slow.wait_for_requests, SLOW_REQUESTS)
        answer = await asyncio.to_thread(cluster.load, versions.first)
        unanswered = SLOW_REQUESTS - sum(slow.answers_by_version.values())
        await asyncio.gather(*clients)
        assert answer.status_code == 200, answer.text
        assert unanswered > SLOW_REQUESTS / 2

    asyncio.run(replace())

    assert slow.failures == []
    assert cluster.versions() == [versions.first] * 4


def test_a_replica_that_starts_during_a_load_serves_the_loaded_version(cluster: Cluster, versions: Versions) -> None:
    cluster.hold("promote")

    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(cluster.load, versions.second)
        wait_until(lambda: cluster.held_replicas("promote"), what="a load before its commit")
        cluster.scale(6)
        cluster.wait_for_replicas(6)
        assert cluster.versions() == [versions.first] * 6
        cluster.remove_hooks()
        answer = load.result()

    assert answer.status_code == 200, answer.text
    assert [replica["version"] for replica in answer.json()["replicas"]] == [versions.second] * 6
    assert cluster.versions() == [versions.second] * 6
