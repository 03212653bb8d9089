"""The models of the service as one replica holds them."""

from app.errors import ModelNotFoundError
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import ServedModel
from app.serving.protocols.wire import ModelSource
from app.serving.requests.row_errors import shortened


class DefaultModel:
    """The model that answers requests without a model's name.

    Args:
        replica: The replica that serves.
        follower: Checks before the first answer that the replica serves the fleet's version.
    """

    def __init__(self, replica: Replica, follower: AliasFollower) -> None:
        self._replica = replica
        self._follower = follower

    @property
    def name(self) -> str:
        """Name of the registered model."""
        return self._replica.model_name

    @property
    def served(self) -> ServedModel | None:
        """The version that answers; None before the first load."""
        return self._replica.served

    async def require(self) -> ServedModel:
        """See `ModelSource.require`."""
        await self._follower.check_before_first_request()
        return self._replica.require_served()


class DefaultVersion:
    """A version of the default model by its number: the one that serves."""

    def __init__(self, model: DefaultModel, version: str) -> None:
        self._model = model
        self._version = version

    async def require(self) -> ServedModel:
        """See `ModelSource.require`."""
        served = await self._model.require()
        if str(served.version.version) != self._version:
            raise ModelNotFoundError(
                f"Version {shortened(self._version)} of {self._model.name!r} does not serve.",
                allowed=f"version {served.version.version}",
                next_step="Leave the version out of the path, or load the version: POST /model/load.",
            )
        return served


class Catalog:
    """The models by name."""

    def __init__(self, default: DefaultModel) -> None:
        self.default = default

    def source(self, name: str | None = None, version: str | None = None) -> ModelSource:
        """Return what answers for a model.

        Args:
            name: Name of the registered model; None for the default model.
            version: Number of the version; None for the one that serves.

        Raises:
            ModelNotFoundError: The service does not serve the model.
        """
        if name not in (None, self.default.name):
            raise ModelNotFoundError(
                f"The service does not serve the model {shortened(str(name))!r}.",
                allowed=self.default.name,
                next_step="GET /model describes the model that is served.",
            )
        return self.default if version is None else DefaultVersion(self.default, version)
