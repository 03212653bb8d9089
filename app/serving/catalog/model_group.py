"""The replicas of the deployment, for the loads of one model of the catalog."""

from collections.abc import Awaitable, Callable
from typing import Concatenate

from app.serving.fleet.protocol import Answer, Args, FleetMember, ReplicaGroup


class ModelGroup:
    """Implements `ReplicaGroup` for one model: each call names the model.

    Args:
        group: The replicas.
        model: Name of the registered model.
    """

    def __init__(self, group: ReplicaGroup, model: str) -> None:
        self._group = group
        self._model = model

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        """Call a method for the model on every live replica; see `ReplicaGroup.broadcast`. It takes no keywords."""
        if kwargs:
            raise TypeError(f"{method.__name__} is called with keywords")
        answers: list[Answer] = await self._group.broadcast(
            FleetMember.on_model, timeout_s, self._model, method.__name__, args
        )
        return answers

    async def count_running(self) -> int:
        """See `ReplicaGroup.count_running`."""
        return await self._group.count_running()
