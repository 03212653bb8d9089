"""What happened to a fleet can be told from its log alone."""

import asyncio
import logging
from contextvars import ContextVar

import pytest

from app import names
from app.errors import ModelRefusedError, OverloadedError, RegistryUnavailableError
from app.serving.event_log import drops
from app.serving.event_log.drops import DropLog
from app.serving.rollout.policy import Policy
from app.serving.schemas import LoadRequest
from tests.support import rollouts
from tests.support.fake_fleet import FakeReplicaGroup, Member, fleet_of
from tests.support.fake_models import MODEL, FakeRegistry


def story(caplog: pytest.LogCaptureFixture, *members: str) -> list[tuple[object, ...]]:
    """The name of each event in the log, with some of its members."""
    records = [record.__dict__ for record in caplog.records if "event" in record.__dict__]
    return [(record["event"], *(record["fields"].get(member) for member in members)) for record in records]


@pytest.fixture(autouse=True)
def _every_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=names.SERVING_LOG)


def test_a_load_tells_what_each_replica_served_before(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        _, _, members = await fleet_of(2)
        caplog.clear()
        await members[0].fleet.load(LoadRequest(version="2"))

    asyncio.run(run())

    assert story(caplog, "version", "previous", "role") == [
        ("version_serves", "2", "1", "champion"),
        ("version_serves", "2", "1", "champion"),
        ("load_finished", "2", None, "champion"),
    ]


def test_a_refusal_tells_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        _, registry, members = await fleet_of(2)
        registry.refused = {"2"}
        caplog.clear()
        with pytest.raises(ModelRefusedError):
            await members[0].fleet.load(LoadRequest(version="2"))

    asyncio.run(run())

    told = story(caplog, "version", "attempts", "error")
    assert sorted(told, key=str) == [
        ("load_failed", "2", None, "Model refused"),
        ("version_refused", "2", 1, None),
        ("version_refused", "2", 1, None),
    ]
    assert all("It is damaged." in record.__dict__["fields"]["reason"] for record in caplog.records)


def test_mlflow_is_lost_and_found_once_however_often_it_is_asked(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        _, registry, members = await fleet_of(1)
        caplog.clear()
        registry.is_down = True
        for _ in range(3):
            await members[0].follower.poll()
        registry.is_down = False
        for _ in range(3):
            await members[0].follower.poll()

    asyncio.run(run())

    assert story(caplog, "model") == [("registry_lost", MODEL), ("registry_found", MODEL)]


def test_a_rollout_tells_each_step_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        caplog.clear()
        await members[0].rollouts.begin("2", Policy(steps=(10.0, 50.0), min_rows=20, min_seconds=0))
        rollouts.send(members, 1_000)
        await members[0].rollouts.poll()
        await members[0].rollouts.abort()

    rollouts.run(scenario)

    told = [event for event in story(caplog, "version", "champion", "share", "verdict") if "rollout" in str(event[0])]
    assert told == [
        ("rollout_began", "2", "1", None, None),
        ("rollout_step", "2", "1", 10.0, None),
        ("rollout_step", "2", "1", 50.0, None),
        ("rollout_ended", "2", "1", None, "aborted"),
    ]
    assert ("version_serves", "challenger") in story(caplog, "role")


def test_a_rollout_that_is_stuck_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(__: FakeReplicaGroup, registry: FakeRegistry, members: list[Member]) -> None:
        registry.is_down = True
        with pytest.raises(RegistryUnavailableError):
            await members[0].rollouts.abort()
        caplog.clear()
        for _ in range(3):
            await members[0].rollouts.poll()

    rollouts.run(scenario)

    assert story(caplog) == [("rollout_stuck",)]


def test_dropped_predictions_are_told_in_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drops, "INTERVAL_S", 0.01)

    async def run() -> None:
        log = DropLog()
        for _ in range(5):
            log.add(OverloadedError("This replica has no place for another prediction."))
        await asyncio.sleep(0.05)

    asyncio.run(run())

    assert story(caplog, "requests") == [("requests_dropped", 5)]


def test_the_line_about_many_refusals_names_no_single_request(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drops, "INTERVAL_S", 0.01)
    request_id: ContextVar[str] = ContextVar("request_id", default="")

    async def run() -> str:
        flushed: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        class Probe(DropLog):
            def flush(self) -> None:
                super().flush()
                flushed.set_result(request_id.get())

        request_id.set("the first one")
        Probe().add(OverloadedError("This replica has no place for another prediction."))
        return await asyncio.wait_for(flushed, timeout=10)

    assert asyncio.run(run()) == ""
    assert story(caplog, "requests") == [("requests_dropped", 1)]
