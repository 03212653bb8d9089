"""The tallies of one replica, by model, version and role."""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from app.serving.loading.served_model import ServedModel
from app.serving.measures.answer_bins import AnswerBins, bins_of
from app.serving.measures.tally import NO_VERSION, Role, Tally, TallySnapshot

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PINNED: Final = "pinned"
SHADOW: Final = "shadow"

MAX_TALLIES: Final = 500
"""Maximum number of tallies of one replica, at most 20 kB each. A further tally replaces the one that was used least
recently."""


class Measures:
    """The tallies of one replica."""

    def __init__(self) -> None:
        self._tallies: OrderedDict[Role, Tally] = OrderedDict()
        self._last: tuple[Callable[[], ServedModel | None], str, Tally] | None = None
        """Version, role and tally of the last request. The next one is most often of the same version, which this must
        not keep in memory."""

    def tally(self, served: ServedModel, role: str) -> Tally:
        """Return the tally of a version in a role.

        Args:
            served: The version.
            role: `CHAMPION`, `CHALLENGER`, `PINNED` or `SHADOW`.
        """
        if self._last is not None and self._last[0]() is served and self._last[1] == role:
            return self._last[2]
        key = Role(*served.key, role)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._create(key, bins_of(served.predictor))
        self._tallies.move_to_end(key)
        self._last = (weakref.ref(served), role, tally)
        return tally

    def unserved(self, model: str, role: str) -> Tally:
        """Return the tally of requests that failed before a version was known.

        Args:
            model: Name of the registered model.
            role: `CHAMPION` or `PINNED`.
        """
        key = Role(model, NO_VERSION, role)
        return self._tallies.get(key) or self._create(key, None)

    def all(self) -> Iterable[Tally]:
        """Return all tallies."""
        return self._tallies.values()

    def snapshots(self, model: str) -> list[TallySnapshot]:
        """Copy the tallies of a model."""
        return [tally.snapshot() for tally in self._tallies.values() if tally.role.model == model]

    def _create(self, key: Role, bins: AnswerBins | None) -> Tally:
        self._last = None
        tally = self._tallies[key] = Tally(key, bins)
        if len(self._tallies) > MAX_TALLIES:
            self._tallies.popitem(last=False)
        return tally
