import base64
import json
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient
from pulumi.automation import CommandError

from app import names
from app.cli.endpoints import Endpoints
from app.models.registry import Registry
from app.settings import settings
from infra.names import MODEL_SECRET, MODEL_SECRET_KEY
from tests.e2e.lifecycle import hostile_bodies, models_by_name, platform, retraining, unlogged_requests
from tests.e2e.lifecycle.platform import DESTROY_S, RECOVERY_S, Figure
from tests.support import own_model_cases, registered_versions
from tests.support.live_rollouts import COURSES, RolloutPlatform
from tests.support.live_stack import LiveStack
from tests.support.local import clean_environment
from tests.support.many_models import ManyModels
from tests.support.own_model_cases import CASES, OWN_CLASS, Case
from tests.support.rollout_models import Challengers
from tests.support.tools import Tools
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(1500)

ANOTHER_SCIKIT_LEARN = """

import sklearn

sklearn.__version__ = "99.0.0"


def package_version(_: str) -> str:
    return sklearn.__version__
"""
"""Code at the end of `app/models/fitted_release.py` with which a release behaves as if it had another scikit-learn."""


@pytest.fixture(scope="module")
def answered() -> list[str]:
    """Ids of the requests that were answered while pods were killed and replaced."""
    return []


def test_up_from_nothing_ends_with_a_service_that_answers(stack: LiveStack, figure: Figure) -> None:
    update = stack.up()

    figure(f"up from nothing: {update.duration_s:.0f} s, {update.changes}")
    assert platform.curl(f"{stack.outputs()['serveUrl']}/healthz")["status"] == "ok"


def test_a_second_up_changes_nothing(stack: LiveStack, figure: Figure) -> None:
    update = stack.up()

    figure(f"second up: {update.duration_s:.0f} s, {update.changes}")
    assert update.changes == {}, update.output


def test_a_submitted_job_trains_and_registers_a_model(stack: LiveStack, tmp_path: Path, figure: Figure) -> None:
    start_s = time.monotonic()

    output = platform.train(stack, tmp_path)

    figure(f"training job: {time.monotonic() - start_s:.0f} s")
    assert '"gate": "passed"' in output


def test_the_trained_model_is_loaded_and_predicts(stack: LiveStack, figure: Figure) -> None:
    start_s = time.monotonic()

    model = platform.load_model(stack)
    prediction = platform.predict(stack)

    figure(f"load and predict: {time.monotonic() - start_s:.1f} s")
    assert model["model_loaded"] is True
    assert prediction["model_version"] == model["model_info"]["version"]
    assert len(prediction["predictions"]) == len(prediction["probabilities"]) > 0


@pytest.mark.parametrize("case", [*CASES.values(), OWN_CLASS], ids=[*CASES, "own class"])
def test_a_model_of_a_user_is_searched_gated_loaded_and_answered_exactly(
    stack: LiveStack, machine: Tools, tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    outputs = stack.outputs()
    ray = Endpoints(ray_url=outputs["rayDashboardUrl"], ray_token=outputs["rayToken"])
    registry = Registry(settings().model_copy(update={"mlflow_tracking_uri": outputs["mlflowUrl"]}))
    client = MlflowClient(tracking_uri=outputs["mlflowUrl"])
    secret = ("get", "secret", MODEL_SECRET, "-n", outputs["namespace"], "-o", f"jsonpath={{.data.{MODEL_SECRET_KEY}}}")
    key = base64.b64decode(machine.kubectl(*secret)).decode()
    start_s = time.monotonic()

    with (
        platform.mlflow_credentials(stack),
        registered_versions.no_champion(client, partial(platform.load_model, stack), model=outputs["modelName"]),
        own_model_cases.model_key(key, monkeypatch),
    ):
        result = own_model_cases.train(case, tmp_path / "project", ray, clean_environment())
        loaded = platform.load_model(stack)
        figure(f"{case.model}: trained and loaded in {time.monotonic() - start_s:.0f} s")
        assert (result["gate"], loaded["model_info"]["version"]) == ("passed", result["version"])
        model = registry.fetch(registry.find(outputs["modelName"], version=result["version"])).model
        with httpx.Client(base_url=outputs["serveUrl"], timeout=60) as api:
            own_model_cases.assert_exact(case, model, api, same_machine=False)


def test_models_by_name_answer_beside_the_default_model(stack: LiveStack, models: ManyModels) -> None:
    models_by_name.assert_answers(stack, models)


def test_no_honest_request_fails_beside_hostile_bodies(stack: LiveStack, tmp_path: Path, figure: Figure) -> None:
    figure(hostile_bodies.assert_they_disturb_nobody(stack, tmp_path))


@pytest.mark.parametrize("kind", COURSES)
def test_a_rollout_ends_as_its_version_deserves_and_no_request_fails(
    rollouts: RolloutPlatform, challengers: Challengers, figure: Figure, kind: str
) -> None:
    figure(f"rollout, {kind} version: {rollouts.roll_out(kind, challengers)}")


def test_a_rollout_gives_a_version_half_of_the_traffic_until_it_has_enough_rows(
    rollouts: RolloutPlatform, challengers: Challengers
) -> None:
    rollouts.start(challengers.equal, "--steps", "50", "--min-rows", "10000000")

    with rollouts.traffic():
        wait_for("the first step", lambda: rollouts.rollout()["step"] == 0 or None, timeout_s=RECOVERY_S)
        versions = rollouts.answering_versions(100)

    assert versions == {challengers.good, challengers.equal}


def test_a_schedule_that_finds_a_fallen_score_twice_trains_again(
    rollouts: RolloutPlatform, stack: LiveStack, machine: Tools, tmp_path: Path, figure: Figure
) -> None:
    figure(retraining.assert_two_judgements_train(machine, stack, rollouts, tmp_path))


def test_the_doctor_reports_every_part_as_ok(stack: LiveStack) -> None:
    findings = platform.find_problems(stack)

    parts = ("operator", "redis", "mlflow", "ray head", "ray workers", "ray service")
    assert {findings[name]["status"] for name in parts} == {"ok"}


def test_a_tunnel_reconnects_after_its_pod_was_killed(stack: LiveStack, machine: Tools, figure: Figure) -> None:
    with platform.run_forward(stack) as ports:
        for name, port in ports.items():
            wait_for(f"the tunnel to {name}", partial(platform.is_answering, port), timeout_s=RECOVERY_S)
        ready_s = platform.kill_pod(machine, stack, "mlflow", timeout_s=RECOVERY_S)
        start_s = time.monotonic()

        wait_for("the tunnel to MLflow", lambda: platform.is_answering(ports["mlflow"]), timeout_s=RECOVERY_S)

    figure(f"tunnel: pod ready after {ready_s:.0f} s, tunnel {time.monotonic() - start_s:.1f} s later")


@pytest.mark.parametrize("part", ["mlflow", "redis", "head"])
def test_no_request_fails_while_a_killed_pod_is_replaced_in_the_middle_of_a_rollout(
    stack: LiveStack, machine: Tools, figure: Figure, answered: list[str], part: str
) -> None:
    with platform.prediction_traffic(stack) as traffic:
        recovered_s = platform.kill_pod(machine, stack, part, timeout_s=RECOVERY_S)

    figure(
        f"{part} killed: back in {recovered_s:.0f} s, "
        f"{traffic.failed} of {traffic.sent} failed {dict(traffic.failures)}"
    )
    answered += traffic.answered
    assert traffic.failed == 0
    assert platform.predict(stack)["predictions"]


def test_no_request_fails_while_the_workers_are_resized_in_the_middle_of_a_rollout(
    stack: LiveStack, machine: Tools, figure: Figure, answered: list[str]
) -> None:
    resize = machine.resize or {"cpus": int(str(stack.config.get("cpus", 1))) + 1}
    stack.configure(**resize)

    with platform.prediction_traffic(stack) as traffic:
        update = stack.up()

    figure(
        f"size {resize}: {update.duration_s:.0f} s, {traffic.failed} of {traffic.sent} failed {dict(traffic.failures)}"
    )
    limits = [
        pod["spec"]["containers"][0]["resources"]["limits"]
        for pod in platform.pods(machine, stack, "worker").values()
        if platform.is_ready(pod)
    ]
    expected = {{"cpus": "cpu"}.get(key, key): str(value) for key, value in resize.items()}
    answered += traffic.answered
    assert any(expected.items() <= limit.items() for limit in limits)
    assert traffic.failed == 0


def test_the_rollout_has_outlived_the_killed_pods_and_the_upgrade(
    rollouts: RolloutPlatform, challengers: Challengers
) -> None:
    rollout, versions = rollouts.rollout(), rollouts.answering_versions(100)

    rollouts.run("rollout", "promote")

    assert (rollout["step"], rollout["verdict"]) == (0, None)
    assert versions == {challengers.good, challengers.equal}
    assert rollouts.aliases() == {names.CHAMPION: challengers.equal, names.PREVIOUS: challengers.good}


def test_every_answer_is_in_the_prediction_log(stack: LiveStack, figure: Figure, answered: list[str]) -> None:
    missing = unlogged_requests.count(stack, answered)

    figure(f"prediction log over the kills and the resize: {missing} of {len(answered)} answered requests are missing")
    assert answered
    assert missing == 0


def test_models_by_name_answer_after_an_upgrade(stack: LiveStack, models: ManyModels) -> None:
    models_by_name.assert_answers(stack, models)


def test_a_failed_image_build_stops_the_update_and_changes_no_pod(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    platform.wait_for_one_cluster(machine, stack)
    pods_before = {part: set(platform.pods(machine, stack, part)) for part in platform.SELECTORS}
    config_before = dict(stack.config)
    stack.configure(imageBuilder="command", buildCommand="echo no such package as {image} && exit 7", cpus=2)
    start_s = time.monotonic()

    with pytest.raises(CommandError, match="no such package as"):
        stack.up()

    figure(f"broken build: {time.monotonic() - start_s:.0f} s")
    stack.config = config_before
    stack.configure()
    assert {part: set(platform.pods(machine, stack, part)) for part in platform.SELECTORS} == pods_before


def test_an_upgrade_to_another_scikit_learn_ends_after_a_training_on_the_pending_cluster(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    image_before = stack.outputs()["image"]
    with (stack.folder / "app" / "models" / "fitted_release.py").open("a", encoding="utf-8") as code:
        code.write(ANOTHER_SCIKIT_LEARN)
    start_s = time.monotonic()

    with platform.prediction_traffic(stack) as traffic:
        with stack.running_up():
            wait_for("a refused champion", lambda: _refused_by_pending_cluster(stack), timeout_s=900, interval_s=15)
            refused_s = time.monotonic() - start_s
            output = platform.train_on_pending_cluster(stack)
            trained_s = time.monotonic() - start_s
        upgraded_s = time.monotonic() - start_s

    figure(
        f"changed code that refuses the champion: refused after {refused_s:.0f} s, trained after {trained_s:.0f} s, "
        f"up after {upgraded_s:.0f} s, {traffic.failed} of {traffic.sent} failed {dict(traffic.failures)}"
    )
    assert '"gate": "passed"' in output
    assert f'"version": "{platform.predict(stack)["model_version"]}"' in output
    assert stack.outputs()["image"] != image_before
    assert traffic.failed == 0
    workers = [pod for pod in platform.pods(machine, stack, "worker").values() if platform.is_ready(pod)]
    assert stack.outputs()["image"] in {pod["spec"]["containers"][0]["image"] for pod in workers}


def test_destroy_leaves_nothing_but_the_crds(stack: LiveStack, machine: Tools, figure: Figure) -> None:
    duration_s = stack.destroy()

    figure(f"destroy: {duration_s:.0f} s")
    assert duration_s < DESTROY_S
    wait_for("a clean cluster", lambda: not platform.leftovers(machine, stack), timeout_s=60)
    crds = json.loads(machine.kubectl("get", "crds", "-o", "json"))["items"]
    assert "rayservices.ray.io" in {crd["metadata"]["name"] for crd in crds}


def _refused_by_pending_cluster(stack: LiveStack) -> bool:
    """Whether `manta doctor` says that the new Ray cluster of an upgrade refuses the champion."""
    finding = platform.find_problems(stack).get("pending ray cluster")
    return finding is not None and "is installed here" in finding["detail"]
