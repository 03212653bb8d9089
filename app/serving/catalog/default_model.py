"""The model that answers requests without a model's name."""

from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import ServedModel
from app.serving.measures import measures


class DefaultModel:
    """The default model of the service.

    Args:
        replica: The replica that serves.
        follower: Checks before the first answer that the replica serves the fleet's version.
    """

    def __init__(self, replica: Replica, follower: AliasFollower) -> None:
        self.replica = replica
        self.follower = follower

    role = measures.CHAMPION

    @property
    def name(self) -> str:
        """Name of the registered model."""
        return self.replica.model_name

    @property
    def served(self) -> ServedModel | None:
        """The version that answers; None before the first load."""
        return self.replica.served

    async def require(self) -> ServedModel:
        """See `ModelSource.require`."""
        await self.follower.check_before_first_request()
        return self.replica.require_served()
