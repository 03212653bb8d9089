"""A stack that is watched, and a model whose score falls: Prometheus, traces, the log of events, and the retraining."""

import json
import secrets
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import pytest
from mlflow.exceptions import MlflowException

from app import names
from tests.e2e.lifecycle import platform, prometheus_api, retraining
from tests.e2e.lifecycle.platform import DESTROY_S, RECOVERY_S, Figure
from tests.e2e.lifecycle.prometheus_api import Prometheus
from tests.support.json_object import JsonObject
from tests.support.labelled_traffic import LabelledTraffic
from tests.support.live_rollouts import RolloutPlatform
from tests.support.live_stack import LiveStack
from tests.support.tools import Tools
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(2400)

LOGGED_ROWS: Final = 500
"""Rows of the log before the first judgement, more than the 50 that it needs."""
PROMOTION_TIMEOUT_S: Final = 1200.0
"""Longest time from the end of the training until its version is the champion."""
QUERIES: Final = (
    "sum(ray_manta_predictions_total) > 0",
    'kube_statefulset_status_replicas_ready{statefulset="redis"} == 1',
    "count(container_memory_working_set_bytes) > 0",
    "kuberay_service_condition_ready",
)
"""Values of each source of metrics."""
SCORE_FELL: Final = {"MantaDrift", "MantaScoreFell"}
STORY: Final = ("rollout_began", "rollout_step", "rollout_ended", "version_serves")
"""Events that tell how a version became the champion."""


@pytest.fixture(scope="module", autouse=True)
def watched(stack: LiveStack, machine: Tools) -> None:
    """Configure the stack so that it is watched."""
    if "monitoringValues" not in machine.site:
        pytest.skip(
            "MANTA_E2E_SITE has no monitoringValues, the values of kube-prometheus-stack that fit to the images which "
            "this cluster has or can pull"
        )
    stack.configure(
        monitoring="install",
        monitoringValues=machine.site["monitoringValues"],
        logFormat="json",
        otlpEndpoint="mlflow",
        rollout="auto",
        **machine.monitoring_chart,
    )


@pytest.fixture(scope="module")
def prometheus(stack: LiveStack) -> Iterator[Prometheus]:
    """The Prometheus of the stack, which is up."""
    with prometheus_api.reached(str(stack.config["context"]), str(stack.config["namespace"])) as running:
        yield running


@pytest.fixture(scope="module")
def live(stack: LiveStack) -> Iterator[RolloutPlatform]:
    """The running platform."""
    with platform.rollout_platform(stack) as running:
        yield running


def test_one_up_brings_the_platform_and_its_prometheus(stack: LiveStack, figure: Figure) -> None:
    update = stack.up()
    platform.manta(stack, "train", "--trees", "100").check_returncode()
    platform.load_model(stack)

    figure(f"up with monitoring: {update.duration_s:.0f} s, {update.changes}")
    assert platform.predict(stack)["predictions"]


def test_prometheus_reads_every_target_and_evaluates_every_alert(
    prometheus: Prometheus, stack: LiveStack, machine: Tools
) -> None:
    workloads = stack.config["namespace"]
    expected = {f"podMonitor/{workloads}/{pool}" for pool in ("ray/0", "ray/1", "kuberay-operator/0")}

    wait_for("the targets", lambda: expected <= prometheus.pools(), timeout_s=RECOVERY_S)
    wait_for("healthy targets", lambda: not prometheus.unhealthy_targets(), timeout_s=RECOVERY_S)
    rule = json.loads(machine.kubectl("get", "prometheusrule", "manta", "-n", str(workloads), "-o", "json"))
    alerts = {entry["alert"] for group in rule["spec"]["groups"] for entry in group["rules"]}
    wait_for("the alerts", lambda: alerts <= prometheus.rules().keys(), timeout_s=RECOVERY_S)
    wait_for("evaluated alerts", lambda: set(prometheus.rules().values()) == {"ok"}, timeout_s=RECOVERY_S)

    for query in QUERIES:
        wait_for(query, partial(prometheus.values, query), timeout_s=RECOVERY_S)


def test_the_doctor_finds_the_prometheus_of_the_stack(stack: LiveStack) -> None:
    findings = platform.find_problems(stack)

    checks = ("prometheus operator", "prometheus monitors", "prometheus alerts")
    assert {name: findings[name]["status"] for name in checks} == dict.fromkeys(checks, "ok")


def test_mlflow_shows_the_trace_of_a_prediction_that_a_client_traces(live: RolloutPlatform) -> None:
    trace_id = secrets.token_hex(16)
    row = live.api.get("model").json()["example"]["features"][:1]
    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}

    live.api.post("predict", json={"features": row}, headers=headers).raise_for_status()

    wait_for("the trace", lambda: _spans(live, trace_id) >= {"prediction", "predict"}, timeout_s=RECOVERY_S)


def test_a_model_whose_score_fell_is_replaced_under_load_and_the_alert_fires(
    live: RolloutPlatform, stack: LiveStack, machine: Tools, prometheus: Prometheus, figure: Figure
) -> None:
    old = live.aliases()[names.CHAMPION]
    start_s = time.monotonic()

    with LabelledTraffic(live.api) as traffic:
        logged = "sum(ray_manta_log_rows_total)"
        wait_for(
            "rows in the log",
            lambda: sum(value for _, value in prometheus.values(logged)) > LOGGED_ROWS,
            timeout_s=RECOVERY_S,
        )
        first = retraining.run_schedule(machine, stack, "life-first")
        second = retraining.run_schedule(machine, stack, "life-second")
        trained_s = time.monotonic() - start_s
        assert "retraining begins" in second, first + second
        wait_for(
            "another champion",
            lambda: live.aliases()[names.CHAMPION] != old,
            timeout_s=PROMOTION_TIMEOUT_S,
            interval_s=5,
        )
        new = live.aliases()[names.CHAMPION]
        promoted_s = time.monotonic() - start_s
        third = retraining.run_schedule(machine, stack, "life-third")

    figure(f"retraining ended after {trained_s:.0f} s, version {new} promoted after {promoted_s:.0f} s")
    figure(f"{sum(traffic.failures.values())} of {traffic.sent} requests with labels failed {dict(traffic.failures)}")
    figure("judgements: " + " | ".join(_scores(output) for output in (first, second, third)))
    fired = prometheus.fired("1h")
    figure(f"alerts: {', '.join(sorted(fired))}")
    assert traffic.failures == {}
    assert live.rollout()["verdict"] == "promoted"
    assert fired >= SCORE_FELL


def test_the_log_of_the_pods_tells_how_the_version_became_the_champion(
    live: RolloutPlatform, stack: LiveStack, machine: Tools
) -> None:
    version = live.aliases()[names.CHAMPION]

    events = [event for event in _events(machine, stack) if event.get("version") == version]

    assert {event["event"] for event in events} >= set(STORY)
    assert [event["verdict"] for event in events if event["event"] == "rollout_ended"] == ["promoted"]


def test_a_destroy_leaves_nothing(stack: LiveStack, machine: Tools, figure: Figure) -> None:
    duration_s = stack.destroy()

    figure(f"destroy with monitoring: {duration_s:.0f} s")
    assert duration_s < DESTROY_S
    wait_for("a clean cluster", lambda: not platform.leftovers(machine, stack), timeout_s=60)


def _spans(live: RolloutPlatform, trace_id: str) -> set[str]:
    """Return the names of the spans of a trace in MLflow."""
    try:
        return {span.name for span in live.registry.get_trace(f"tr-{trace_id}", display=False).data.spans}
    except MlflowException:
        return set()


def _events(machine: Tools, stack: LiveStack) -> Iterator[JsonObject]:
    """Yield the events in the output of the workers' pods."""
    for pod in platform.pods(machine, stack, "worker").values():
        log = machine.kubectl(
            "logs", pod["metadata"]["name"], "-n", str(stack.config["namespace"]), "-c", "ray-worker", timeout_s=60
        )
        for line in log.splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if "event" in entry:
                    yield entry


def _scores(output: str) -> str:
    """Return the lines of a judgement that name a score."""
    return "; ".join(line.strip() for line in output.splitlines() if "score" in line)
