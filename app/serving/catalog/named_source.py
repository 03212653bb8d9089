"""A model that a request names, perhaps with a version."""

from collections.abc import Callable
from dataclasses import dataclass, field

from app.serving.catalog.default_model import DefaultModel
from app.serving.catalog.models import LazyModel
from app.serving.loading.served_model import ServedModel
from app.serving.measures import measures
from app.serving.rollout.split import Split
from app.serving.shadow.shadow import Shadow


@dataclass
class NamedSource:
    """Finds a model when it is required: the models may have changed while the body of the request arrived."""

    find: Callable[[str, str | None], DefaultModel | LazyModel]
    """See `Catalog.find`."""
    name: str
    version: str | None
    role: str = field(init=False)
    split: Split | None = field(init=False, default=None)
    shadow: Shadow | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.role = measures.CHAMPION if self.version is None else measures.PINNED

    async def require(self) -> ServedModel:
        """See `ModelSource.require`."""
        model = self.find(self.name, self.version)
        self.role = model.role
        served = await model.require()
        # A request that names a version by its number gets that version.
        if self.version is None:
            self.split, self.shadow = model.split, model.shadow
        return served
