"""Interrupted updates, the update or destroy that follows, models by name, and the loss of one of two workers."""

from pathlib import Path

import pytest

from app import names
from app.serving.prediction_log.writer import WRITE_PERIOD_S
from tests.e2e.lifecycle import models_by_name, platform, unlogged_requests
from tests.e2e.lifecycle.platform import DESTROY_S, RECOVERY_S, Figure
from tests.support.live_rollouts import RolloutPlatform
from tests.support.live_stack import LiveStack
from tests.support.many_models import ManyModels
from tests.support.rollout_models import Challengers
from tests.support.tools import Tools
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(1500)

LOST_SHARE = 0.02
"""Largest share of the requests that may fail because the killed worker was processing them."""

MOST_UNLOGGED_S = WRITE_PERIOD_S + 5
"""Longest time before the kill whose answers the prediction log may lack: the time between two writes and a write."""


def test_up_after_an_interrupted_first_up_ends_with_two_workers(
    stack: LiveStack, machine: Tools, tmp_path: Path, figure: Figure
) -> None:
    stack.configure(minWorkers=2, maxWorkers=2, replicas=2)
    _interrupt_first_up(stack, machine)

    update = stack.up()

    figure(f"up with two workers, after an interrupted one: {update.duration_s:.0f} s, {update.changes}")
    platform.wait_for_one_cluster(machine, stack)
    assert len(platform.pods(machine, stack, "worker")) == 2
    platform.train(stack, tmp_path)
    replicas = platform.load_model(stack)["replicas"]
    assert len({replica["replica"] for replica in replicas}) == 2


def test_three_models_on_two_replicas_serve_what_they_should(stack: LiveStack, models: ManyModels) -> None:
    models_by_name.assert_answers(stack, models)

    assert platform.predict(stack)["predictions"]


def test_a_killed_worker_fails_only_the_requests_that_it_was_processing_and_no_rollout(
    stack: LiveStack,
    machine: Tools,
    models: ManyModels,
    rollouts: RolloutPlatform,
    challengers: Challengers,
    figure: Figure,
) -> None:
    champion = rollouts.aliases()[names.CHAMPION]
    rollouts.start(challengers.good, "--steps", "50", "--min-rows", "10000000")
    wait_for("the first step", lambda: rollouts.rollout()["step"] == 0 or None, timeout_s=RECOVERY_S)

    with platform.prediction_traffic(stack) as traffic:
        recovered_s = platform.kill_pod(machine, stack, "worker", timeout_s=RECOVERY_S)

    unlogged = unlogged_requests.count(stack, traffic.answered)
    figure(
        f"worker killed: back in {recovered_s:.0f} s, "
        f"{traffic.failed} of {traffic.sent} failed {dict(traffic.failures)}, "
        f"{unlogged} of {len(traffic.answered)} answered requests are not in the prediction log"
    )
    assert unlogged <= traffic.rate * MOST_UNLOGGED_S
    assert traffic.failed <= LOST_SHARE * traffic.sent
    assert platform.predict(stack)["predictions"]
    models_by_name.assert_answers(stack, models)
    assert rollouts.answering_versions(100) == {champion, challengers.good}
    rollouts.run("rollout", "abort")
    assert rollouts.aliases() == {names.CHAMPION: champion}


def test_destroy_after_an_interrupted_update_leaves_nothing(stack: LiveStack, machine: Tools, figure: Figure) -> None:
    with (stack.folder / "app" / "__init__.py").open("a", encoding="utf-8") as code:
        code.write("\nCHANGED_AGAIN = True\n")
    update = stack.start_up()
    stack.interrupt(update, at="a second cluster", when=lambda: len(platform.pods(machine, stack, "head")) == 2)

    _destroy(stack, machine, figure, after="an interrupted update")


def test_destroy_after_an_interrupted_first_up_leaves_nothing(stack: LiveStack, machine: Tools, figure: Figure) -> None:
    _interrupt_first_up(stack, machine)

    _destroy(stack, machine, figure, after="an interrupted first up")


def _interrupt_first_up(stack: LiveStack, machine: Tools) -> None:
    """Interrupt the first `pulumi up` when the Ray cluster exists, but is not yet in Pulumi's state."""
    update = stack.start_up()
    stack.interrupt(update, at="a cluster", when=lambda: platform.pods(machine, stack, "head"))


def _destroy(stack: LiveStack, machine: Tools, figure: Figure, *, after: str) -> None:
    duration_s = stack.destroy()

    figure(f"destroy after {after}: {duration_s:.0f} s")
    assert duration_s < DESTROY_S
    wait_for("a clean cluster", lambda: not platform.leftovers(machine, stack), timeout_s=60)
