"""A load gives way to the predictions of its replica."""

import asyncio
import os

from app.serving.loading.fork_server import NICENESS
from tests.integration.serving.loading.conftest import Loading
from tests.support.fleet_models import Versions
from tests.support.waiting import wait_until


def test_the_processor_prefers_the_replica_to_a_load(loading: Loading, versions: Versions) -> None:
    async def look() -> tuple[int, int, int]:
        task = asyncio.create_task(loading.loader.prepare(loading.version(versions.first)))
        await asyncio.to_thread(wait_until, loading.reached().exists, what="a child that hangs")
        child = int(loading.reached().read_text())
        try:
            return os.getpriority(os.PRIO_PROCESS, child), os.getsid(child), os.getpgid(child)
        finally:
            task.cancel()
            await asyncio.wait({task})

    with loading.misbehaving("hang"):
        priority, session, group = loading.run(look())

    # Linux compares niceness within a session only (sched_autogroup). Ctrl-C reaches the replica's process group only.
    assert priority == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICENESS)
    assert session == os.getsid(0)
    assert group != os.getpgid(0)
