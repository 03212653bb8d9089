"""The panel of a rollout on the page."""

import re
from types import SimpleNamespace

from app.serving.page import rollout_view
from app.serving.page.routes import create_templates
from app.serving.rollout import rollout_status
from tests.support import rollouts
from tests.support.fake_fleet import FakeReplicaGroup, Member
from tests.support.fake_models import FakeRegistry


async def panel(member: Member) -> str:
    """The panel in HTML."""
    view = rollout_view.build(await rollout_status.describe(member.rollouts))
    return create_templates().get_template("rollout.html").render(state=SimpleNamespace(rollout=view))


def steps(html: str) -> list[tuple[str, str]]:
    return re.findall(r'<li class="(\w+)"[^>]*>([^<]+)<', html)


def test_a_running_rollout_shows_its_steps_its_evidence_and_its_buttons() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", rollouts.QUICK)
        rollouts.send(members, 1000)
        await members[0].rollouts.poll()
        rollouts.send(members, 20, bad=0.5)

        html = await panel(members[0])

        assert steps(html) == [("done", "10 %"), ("current", "50 %"), ("next", "all")]
        assert "answers <strong>50 %</strong> of the requests" in html
        assert "of at least 20 rows" in html
        assert "2 of 2 replicas hold both versions" in html
        assert "Version 2 goes back at 20" in html
        assert re.search(r'scope="row">Errors</th><td class="number">\d+ of \d+</td>', html)
        assert "Wrong answers" not in html
        assert re.findall(r'data-act="(\w+)" data-version="(\d)"', html) == [("promote", "2"), ("abort", "2")]

    rollouts.run(scenario)


def test_the_last_rollout_shows_how_it_ended_and_has_no_button() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", rollouts.QUICK)
        await members[0].rollouts.abort("<because>")

        html = await panel(members[0])

        assert '<span class="verdict aborted">aborted</span>' in html
        assert "&lt;because&gt;" in html
        assert "data-act" not in html

    rollouts.run(scenario)


def test_a_version_that_was_promoted_has_taken_every_step() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", rollouts.QUICK)
        await members[0].rollouts.promote()

        html = await panel(members[0])

        assert [state for state, _ in steps(html)] == ["done", "done", "done"]
        assert "verdict promoted" in html

    rollouts.run(scenario)


def test_the_evidence_fills_the_bar_at_the_limit() -> None:
    async def scenario(_: FakeReplicaGroup, __: FakeRegistry, members: list[Member]) -> None:
        await members[0].rollouts.begin("2", rollouts.QUICK)
        rollouts.send(members, 200, bad=1.0)

        html = await panel(members[0])

        assert html.count('<rect width="100.0"') == 2  # errors, and all kinds together

    rollouts.run(scenario)
