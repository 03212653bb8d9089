"""The replicas of the deployment, for the loads of a model that is not the champion of the default model."""

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate

from app.serving.fleet.protocol import Answer, Args, FleetMember, ReplicaGroup


class ForwardingGroup:
    """Implements `ReplicaGroup`: one method of each replica receives the name and the arguments of every call.

    Args:
        group: The replicas.
        receiver: The method, such as `FleetMember.on_model`. It passes the call on to the right part of its replica.
        first_args: Arguments of the method before the name of the called method.
    """

    def __init__(self, group: ReplicaGroup, receiver: Callable[..., Awaitable[Any]], *first_args: str) -> None:
        self._group = group
        self._receiver = receiver
        self._first_args = first_args

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        """Call a method on every live replica; see `ReplicaGroup.broadcast`. It takes no keyword arguments."""
        if kwargs:
            raise TypeError(f"{method.__name__} is called with keywords")
        answers: list[Answer] = await self._group.broadcast(
            self._receiver, timeout_s, *self._first_args, method.__name__, args
        )
        return answers

    async def count_running(self) -> int:
        """See `ReplicaGroup.count_running`."""
        return await self._group.count_running()
