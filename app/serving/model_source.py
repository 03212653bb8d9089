"""What gives the version that answers a request."""

from typing import Protocol

from app.serving.loading.served_model import ServedModel
from app.serving.rollout.split import Split
from app.serving.shadow.shadow import Shadow


class ModelSource(Protocol):
    """Gives the version that answers a request."""

    @property
    def name(self) -> str:
        """Name of the registered model."""

    @property
    def role(self) -> str:
        """Role of the version; see `app.serving.measures.tally.Role`."""

    @property
    def split(self) -> Split | None:
        """The rollout in which the version that `require` returns shares the requests with another one, if any."""

    @property
    def shadow(self) -> Shadow | None:
        """What answers copies of the requests of the version that `require` returns, if anything does."""

    async def require(self) -> ServedModel:
        """Return the version, after a load if necessary.

        Raises:
            MantaError: No version can answer.
        """
