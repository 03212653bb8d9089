"""Loads, moves of the alias, crashes and scaling in random order: afterwards every replica serves the champion."""

from concurrent.futures import Future, ThreadPoolExecutor

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from app import names
from app.models.registry import Registry
from tests.support.fleet_models import REQUEST_ROWS, Versions
from tests.support.ray_cluster import Cluster
from tests.support.waiting import wait_until

MAX_REPLICAS = 5
EXAMPLES = 3
STEPS = 5


def machine(cluster: Cluster, versions: Versions, registry: Registry) -> type[RuleBasedStateMachine]:
    """Build a state machine for the running cluster. Its steps overlap: no step waits for the effects of another."""
    choice = st.sampled_from([versions.first, versions.second])

    class FleetMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.pool = ThreadPoolExecutor(4)
            self.loads: list[Future[httpx.Response]] = []
            self.replicas = 4

        @rule(version=choice)
        def load(self, version: str) -> None:
            self.loads.append(self.pool.submit(cluster.load, version))

        @rule(version=choice)
        def move_alias(self, version: str) -> None:
            registry.promote(registry.find(names.MODEL_NAME, version=version))

        @rule(index=st.integers(0, MAX_REPLICAS - 1))
        def kill(self, index: int) -> None:
            running = [
                replica
                for replica in cluster.replicas()
                if replica["state"] == "RUNNING" and replica["replica_id"] not in cluster.killed
            ]
            if len(running) > 1:
                cluster.kill(running[index % len(running)]["replica_id"])

        @rule(replicas=st.integers(2, MAX_REPLICAS))
        def scale(self, replicas: int) -> None:
            cluster.scale(replicas)
            self.replicas = replicas

        def teardown(self) -> None:
            for load in self.loads:
                load.exception(timeout=150)
            self.pool.shutdown()
            cluster.wait_for_replicas(self.replicas)
            wait_until(self.serves_champion, what="the champion on every replica")
            answers = [
                httpx.post(f"{cluster.api_url}/predict", json={"features": REQUEST_ROWS}, timeout=30) for _ in range(20)
            ]
            champion = str(registry.find(names.MODEL_NAME, alias="champion").version)
            assert {answer.json()["model_version"] for answer in answers} == {champion}

        def serves_champion(self) -> bool:
            champion = str(registry.find(names.MODEL_NAME, alias="champion").version)
            return cluster.versions() == [champion] * self.replicas

    return FleetMachine


def test_every_replica_serves_the_champion_after_any_sequence_of_events(
    cluster: Cluster, versions: Versions, registry: Registry
) -> None:
    run_state_machine_as_test(
        machine(cluster, versions, registry),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
