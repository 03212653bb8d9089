"""The replicas of a Ray Serve deployment, asked all at once.

What they are asked for is decided in `app.serving.fleet.load`.
"""

import asyncio
import logging
from typing import Final

from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve import handle
from ray.serve.exceptions import RayServeException

from app import names
from app.errors import PlatformError
from app.serving.fleet.load import Answer

log = logging.getLogger(names.SERVING_LOG)

RUNNING: Final = "RUNNING"
"""Serve's word for a replica that takes requests."""


class ServePeers:
    """The replicas of a Ray Serve deployment.

    Args:
        application: Name of the Serve application.
        deployment: Name of the deployment, whose class has the method `answer`.
    """

    def __init__(self, application: str, deployment: str) -> None:
        self._application = application
        self._deployment = deployment
        self._handle: handle.DeploymentHandle[object] | None = None

    async def ask(self, step: str, *args: object, kind: type[Answer], timeout_s: float) -> list[Answer]:
        """Broadcast a step; see `Peers.ask`."""
        if self._handle is None:
            self._handle = serve.get_deployment_handle(self._deployment, self._application)
        try:
            answers = await self._handle.broadcast("answer", step, *args).results_async(
                timeout_s=timeout_s, return_exceptions=True
            )
        except (TimeoutError, RayError, RayServeException) as error:
            raise _silent(f"{step}: {error}") from error
        lost = [answer for answer in answers if isinstance(answer, RayActorError)]
        if lost:
            log.warning("%d replicas were lost while asked to %s", len(lost), step)
        failed = [answer for answer in answers if isinstance(answer, Exception) and answer not in lost]
        if failed:
            raise _silent(f"{step}: {failed[0]}") from failed[0]
        return [answer for answer in answers if isinstance(answer, kind)]

    async def running(self) -> int:
        """Ask Serve's controller; see `Peers.running`."""
        try:
            status = await asyncio.to_thread(serve.status)
            deployment = status.applications[self._application].deployments[self._deployment]
        except (RayError, RayServeException, KeyError) as error:
            raise _silent(str(error)) from error
        return sum(count for state, count in deployment.replica_states.items() if state == RUNNING)


def _silent(reason: str) -> PlatformError:
    return PlatformError(
        f"The replicas did not all answer: {reason}", next_step="Ask again; see the replicas' logs if it stays so."
    )
