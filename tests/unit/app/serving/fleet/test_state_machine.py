"""Loads, moves of the alias and failures of replicas in many orders, on one event loop.

`tests/integration/serving/fleet/test_state_machine.py` explores a few orders with real processes.
"""

import asyncio

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from app.errors import MantaError
from app.serving.fleet import alias_follower, load
from app.serving.schemas import LoadRequest, ReplicaInfo
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import FakeRegistry

VERSIONS = ["1", "2", "3", "4"]
UNLOADABLE = "4"
"""The version that every replica refuses."""
MEMBERS = st.integers(0, 4)


class FleetMachine(RuleBasedStateMachine):
    """Each step lets the event loop run for some turns, so that steps meet loads at any point."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.group, self.registry = FakeReplicaGroup(), FakeRegistry()
        self.registry.alias, self.registry.refused = "1", {UNLOADABLE}
        self.loads: list[asyncio.Task[str]] = []
        for _ in range(3):
            self.run(self.start())

    def run(self, work: object) -> None:
        async def with_turns() -> None:
            await work  # type: ignore[misc] # a coroutine of any type
            for _ in range(5):
                await asyncio.sleep(0)

        self.runner.run(with_turns())

    async def start(self) -> None:
        member = self.group.add(self.registry)
        member.is_hidden = True
        await member.follower.start()
        assert member.follower._polling is not None
        member.follower._polling.cancel()
        member.is_hidden = False

    def live(self) -> list[Member]:
        return self.group.live()

    def member(self, index: int) -> Member:
        return self.live()[index % len(self.live())]

    @rule(index=MEMBERS, version=st.sampled_from(VERSIONS))
    def begin_load(self, index: int, version: str) -> None:
        member = self.member(index)

        async def load_version() -> str:
            try:
                _, infos = await member.fleet.load(LoadRequest(version=version))
            except MantaError as error:
                return type(error).__name__
            self.check_answer(version, infos)
            return version

        async def begin() -> None:
            self.loads.append(asyncio.create_task(load_version()))

        self.run(begin())

    def check_answer(self, version: str, infos: list[ReplicaInfo]) -> None:
        assert version != UNLOADABLE
        assert {info.version for info in infos} == {version}

    @rule(turns=st.integers(1, 60))
    def let_time_pass(self, turns: int) -> None:
        async def pass_turns() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await asyncio.to_thread(int)

        self.run(pass_turns())

    @rule(version=st.sampled_from(VERSIONS))
    def move_alias(self, version: str) -> None:
        self.registry.alias = version

    @rule(index=MEMBERS)
    def poll(self, index: int) -> None:
        self.run(self.poll_in_background(self.member(index)))

    async def poll_in_background(self, member: Member) -> None:
        async def poll() -> str:
            await member.follower.poll()
            return "poll"

        self.loads.append(asyncio.create_task(poll()))

    @rule(index=MEMBERS, turns=st.integers(0, 30))
    def slow_down(self, index: int, turns: int) -> None:
        self.member(index).delay_turns = turns

    @rule(index=MEMBERS)
    def take_all_places(self, index: int) -> None:
        self.member(index).is_full = True

    @rule(index=MEMBERS)
    def cancel_an_answer(self, index: int) -> None:
        self.member(index).is_cancelled = True

    @precondition(lambda self: len(self.live()) > 1)
    @rule(index=MEMBERS)
    def kill(self, index: int) -> None:
        self.member(index).is_lost = True

    @precondition(lambda self: len(self.live()) > 1)
    @rule(index=MEMBERS)
    def stop(self, index: int) -> None:
        member = self.member(index)
        member.is_hidden = True
        self.run(member.follower.stop())

    @precondition(lambda self: len(self.live()) < 5 and not self.registry.is_down)
    @rule()
    def add(self) -> None:
        self.run(self.start())

    @rule(is_down=st.booleans())
    def switch_mlflow(self, *, is_down: bool) -> None:
        self.registry.is_down = is_down

    def teardown(self) -> None:
        self.runner.run(self.settle())
        self.runner.close()

    async def settle(self) -> None:
        """After the last failure and a few polls, every replica serves the champion, and no load holds a replica."""
        self.registry.is_down = False
        for member in self.group.members:
            member.is_full, member.is_cancelled, member.delay_turns = False, False, 0
        if self.loads:
            done, pending = await asyncio.wait(self.loads, timeout=30)
            assert not pending
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error
        if self.registry.alias == UNLOADABLE:
            self.registry.alias = "3"
        for _ in range(5):
            for member in self.live():
                await member.follower.poll()
                catching_up = member.follower._catching_up
                if catching_up is not None:
                    await asyncio.wait({catching_up})
        assert self.group.versions() == [self.registry.alias] * len(self.live())
        assert {member.replica.holder for member in self.live()} == {None}
        assert {member.replica.running_load for member in self.live()} == {None}


def test_every_replica_serves_the_champion_after_any_sequence_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_follower, "EXPIRY_CHECK_S", 0.0)
    monkeypatch.setattr(alias_follower, "POLL_INTERVAL_S", (0.01, 0.01))
    monkeypatch.setattr(load, "SETTLE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(load, "SETTLE_INTERVAL_S", 0.0)
    run_state_machine_as_test(
        FleetMachine,
        settings=settings(
            max_examples=200,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
