"""Updates that are broken off, and what takes them up or down; a worker lost beside another one."""

from pathlib import Path

import pytest

from tests.e2e.lifecycle import platform
from tests.e2e.lifecycle.platform import DESTROY_S, RECOVERY_S, Figure
from tests.support.live_stack import LiveStack
from tests.support.tools import Tools
from tests.support.waiting import wait_for

pytestmark = pytest.mark.timeout(1500)

INSIDE = 0.02
"""Share of the requests that may be inside a worker when it dies, and die with it."""


def test_a_first_up_that_was_broken_off_is_taken_up_by_the_next_one_which_ends_with_two_workers(
    stack: LiveStack, machine: Tools, tmp_path: Path, figure: Figure
) -> None:
    stack.configure(minWorkers=2, maxWorkers=2, replicas=2)
    _break_off_a_first_up(stack, machine)

    update = stack.up()

    figure(f"up with two workers, after one that was broken off: {update.duration_s:.0f} s, {update.changes}")
    platform.wait_for_one_cluster(machine, stack)
    assert len(platform.pods(machine, stack, "worker")) == 2
    platform.train(stack, tmp_path)
    loaded = platform.load_model(stack)
    assert len({one["replica"] for one in loaded["replicas"]}) == 2


def test_a_worker_that_is_killed_takes_no_more_requests_with_it_than_it_has(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    with platform.requests(stack) as load:
        recovered_s = platform.kill(machine, stack, "worker", timeout_s=RECOVERY_S)

    figure(f"worker killed: back in {recovered_s:.0f} s, {load.failed} of {load.sent} failed {dict(load.failures)}")
    assert load.failed <= INSIDE * load.sent
    assert platform.predict(stack)["predictions"]


def test_destroy_after_an_update_that_was_broken_off_leaves_nothing(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    with (stack.folder / "app" / "__init__.py").open("a", encoding="utf-8") as code:
        code.write("\nCHANGED_AGAIN = True\n")
    update = stack.start_up()
    stack.break_off(update, at="a second cluster", when=lambda: len(platform.pods(machine, stack, "head")) == 2)

    _destroy(stack, machine, figure, after="a broken off update")


def test_destroy_after_a_first_up_that_was_broken_off_leaves_nothing(
    stack: LiveStack, machine: Tools, figure: Figure
) -> None:
    _break_off_a_first_up(stack, machine)

    _destroy(stack, machine, figure, after="a broken off first up")


def _break_off_a_first_up(stack: LiveStack, machine: Tools) -> None:
    """End the first `pulumi up` when there is a Ray cluster and Pulumi's state does not know of it yet."""
    update = stack.start_up()
    stack.break_off(update, at="a cluster", when=lambda: platform.pods(machine, stack, "head"))


def _destroy(stack: LiveStack, machine: Tools, figure: Figure, *, after: str) -> None:
    duration_s = stack.destroy()

    figure(f"destroy after {after}: {duration_s:.0f} s")
    assert duration_s < DESTROY_S
    wait_for("a clean cluster", lambda: not platform.leftovers(machine, stack), timeout_s=60)
