"""The replicas of a Ray Serve deployment, which one replica calls all at once.

`app.serving.fleet.load` and `app.serving.fleet.alias_follower` decide which methods are called, and when.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Concatenate, Final

from ray import serve
from ray.exceptions import RayActorError, RayError
from ray.serve import handle
from ray.serve.exceptions import RayServeException

from app import names
from app.errors import PlatformError
from app.serving.fleet.protocol import Answer, Args, FleetMember

log = logging.getLogger(names.SERVING_LOG)

RUNNING: Final = "RUNNING"
"""Serve's state of a replica that takes requests."""

CONTROLLER_TIMEOUT_S: Final = 10
"""Limit for each answer of Serve's controller, which does not answer while the head node is away."""


class ServeReplicaGroup:
    """Implements `ReplicaGroup` for a Ray Serve deployment.

    Args:
        application: Name of the Serve application.
        deployment: Name of the deployment. Its class is a `FleetMember`.
    """

    def __init__(self, application: str, deployment: str) -> None:
        self._application = application
        self._deployment = deployment
        self._handle: handle.DeploymentHandle[object] | None = None
        self._status: asyncio.Future[serve.schema.ServeStatus] | None = None

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        """Call a method on every live replica; see `ReplicaGroup.broadcast`."""
        # Serve takes the method's name. This is the only place that turns a typed method into a name.
        name = method.__name__
        try:
            deployment = await self._find_deployment()
            # Serve's own limit begins when its router knows the replicas.
            async with asyncio.timeout(timeout_s + CONTROLLER_TIMEOUT_S):
                answers = await deployment.broadcast(name, *args, **kwargs).results_async(
                    timeout_s=timeout_s, return_exceptions=True
                )
        except (TimeoutError, RayError, RayServeException) as error:
            raise _incomplete(f"{name}: {error or 'no answer in time'}") from error
        lost = [answer for answer in answers if isinstance(answer, RayActorError)]
        if lost:
            log.warning("%d replicas were lost during %s", len(lost), name)
        failed = [answer for answer in answers if isinstance(answer, Exception) and answer not in lost]
        if failed:
            raise _incomplete(f"{name}: {failed[0]}") from failed[0]
        # A cancelled call gives a CancelledError, which is no Exception. It counts as no answer, like a lost replica.
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def count_running(self) -> int:
        """Ask Serve's controller for the running replicas; see `ReplicaGroup.count_running`."""
        if self._status is None or self._status.done():
            self._status = asyncio.ensure_future(asyncio.to_thread(serve.status))
        try:
            async with asyncio.timeout(CONTROLLER_TIMEOUT_S):
                # A call that hangs keeps its thread. The next call waits for the same answer.
                status = await asyncio.shield(self._status)
            deployment = status.applications[self._application].deployments[self._deployment]
        except TimeoutError as error:
            raise _incomplete(f"Serve's controller gave no answer in {CONTROLLER_TIMEOUT_S} s.") from error
        except (RayError, RayServeException, KeyError) as error:
            raise _incomplete(str(error)) from error
        return sum(count for state, count in deployment.replica_states.items() if state == RUNNING)

    async def _find_deployment(self) -> handle.DeploymentHandle[object]:
        if self._handle is not None:
            return self._handle
        async with asyncio.timeout(CONTROLLER_TIMEOUT_S):
            found: handle.DeploymentHandle[object] = await asyncio.to_thread(
                serve.get_deployment_handle, self._deployment, self._application
            )
        self._handle = found
        return found


def _incomplete(reason: str) -> PlatformError:
    return PlatformError(
        f"Not all replicas answered: {reason}",
        next_step="Send the request again. If it fails again, see the replicas' logs.",
    )
