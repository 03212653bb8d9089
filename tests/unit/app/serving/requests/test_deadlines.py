import asyncio

from app.serving.requests.deadlines import Deadlines


async def wait_forever(deadlines: Deadlines, outcomes: list[str], name: str) -> None:
    deadlines.begin()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        outcomes.append(f"{name} {'late' if deadlines.have_passed() else 'cancelled'}")
    finally:
        deadlines.end()


def test_each_task_ends_at_its_own_deadline() -> None:
    async def scenario() -> list[str]:
        deadlines, outcomes = Deadlines(0.05), list[str]()
        first = asyncio.create_task(wait_forever(deadlines, outcomes, "first"))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(wait_forever(deadlines, outcomes, "second"))
        await asyncio.wait({first, second})
        await asyncio.wait({asyncio.create_task(wait_forever(deadlines, outcomes, "third"))})
        return outcomes

    assert asyncio.run(scenario()) == ["first late", "second late", "third late"]


def test_a_task_that_somebody_else_cancels_is_not_late() -> None:
    async def scenario() -> list[str]:
        outcomes = list[str]()
        task = asyncio.create_task(wait_forever(Deadlines(30), outcomes, "task"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        return outcomes

    assert asyncio.run(scenario()) == ["task cancelled"]


def test_a_task_that_has_ended_its_deadline_goes_on() -> None:
    async def scenario() -> str:
        deadlines = Deadlines(0.01)
        deadlines.begin()
        deadlines.end()
        await asyncio.sleep(0.05)
        return "done"

    assert asyncio.run(scenario()) == "done"
