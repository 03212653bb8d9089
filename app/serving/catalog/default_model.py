"""The model that answers requests without a model's name."""

import time

from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.protocol import HeldModel
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import ServedModel
from app.serving.measures import measures
from app.serving.rollout.member import RolloutMember
from app.serving.rollout.split import Split
from app.serving.shadow.member import ShadowMember
from app.serving.shadow.shadow import Shadow


class DefaultModel:
    """The default model of the service.

    Args:
        replica: The replica that serves.
        follower: Checks before the first answer that the replica serves the fleet's version.
        rollout: Splits the requests during a rollout.
        shadow: Holds the version that answers copies of the requests.
    """

    role = measures.CHAMPION

    def __init__(self, replica: Replica, follower: AliasFollower, rollout: RolloutMember, shadow: ShadowMember) -> None:
        self.replica = replica
        self.follower = follower
        self.requests = 0
        """Requests since the replica started."""
        self.last_used_s: float | None = None
        """Seconds since 1970 of the last request; None without one."""
        self.rollout_member = rollout
        self.shadow_member = shadow

    @property
    def name(self) -> str:
        """Name of the registered model."""
        return self.replica.model_name

    @property
    def served(self) -> ServedModel | None:
        """The version that answers; None before the first load."""
        return self.replica.served

    @property
    def split(self) -> Split | None:
        """See `ModelSource.split`."""
        return self.rollout_member.split

    @property
    def shadow(self) -> Shadow | None:
        """See `ModelSource.shadow`."""
        return self.shadow_member.shadow

    async def require(self) -> ServedModel:
        """See `ModelSource.require`."""
        self.requests += 1
        self.last_used_s = time.time()
        await self.follower.check_before_first_request()
        return self.replica.require_served()

    def describe(self) -> HeldModel:
        """Describe the model as this replica holds it."""
        served = self.served
        return HeldModel(
            name=self.name,
            version=self.replica.served_version,
            size_bytes=served.size_bytes if served else 0,
            is_loading=False,
            is_pinned=False,
            last_used_s=self.last_used_s,
            requests=self.requests,
            refused=self.replica.info.refused,
        )
