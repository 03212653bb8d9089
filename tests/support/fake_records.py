"""What MLflow stores about rollouts and shadows, in memory."""

from collections.abc import Mapping
from typing import Any

from app import names
from app.errors import ModelNotFoundError
from app.models.rollout_records import RolloutReading, RolloutRecords
from app.models.shadow_runs import ShadowRuns
from tests.support.fake_models import MODEL, FakeRegistry, LoggedShadow, NamedRollout


class FakeRecords(RolloutRecords):
    """The records of rollouts in memory.

    Args:
        registry: Holds the aliases and the tags.
        model: Name of the registered model.
    """

    def __init__(self, registry: FakeRegistry, model: str = MODEL) -> None:
        self._registry = registry
        self._model = model

    @property
    def _stored(self) -> FakeRegistry | NamedRollout:
        return self._registry if self._model == MODEL else self._registry.named_rollout(self._model)

    def read(self) -> RolloutReading:
        self._registry._require_up()
        registry, is_default = self._registry, self._model == MODEL
        aliases = {
            names.CHAMPION: registry.alias if is_default else registry.champions.get(self._model),
            names.CHALLENGER: self._stored.challenger,
            names.SHADOW: self._stored.shadow,
        }
        named = {name: number for name, number in aliases.items() if number}
        return RolloutReading(named, self._stored.rollout, self._stored.shadow_tag)

    def write(self, content: str) -> None:
        self._registry._require_up()
        self._stored.rollout = content

    def set_alias(self, alias: str, version: str) -> None:
        self._registry._require_up()
        if alias == names.CHALLENGER:
            self._stored.challenger = version
        else:
            self._stored.previous = version

    def delete_challenger(self, version: str) -> None:
        self._registry._require_up()
        if self._stored.challenger == version:
            self._stored.challenger = None

    def begin_shadow(self, version: str, content: str) -> None:
        self._registry._require_up()
        self._stored.shadow, self._stored.shadow_tag = version, content

    def end_shadow(self, version: str) -> None:
        self._registry._require_up()
        if self._stored.shadow == version:
            self._stored.shadow = None

    def mark_version(self, version: str, tags: Mapping[str, str], *, is_rolled_back: bool) -> None:
        self._registry._require_up()
        if version in self._registry.deleted:
            raise ModelNotFoundError(f"There is no version {version}.")
        self._registry.version_tags[version] = dict(tags) | {"is_rolled_back": str(is_rolled_back)}


class FakeRuns(ShadowRuns):
    """The runs of shadows in memory.

    Args:
        registry: Holds what is written.
        model: Name of the registered model.
    """

    def __init__(self, registry: FakeRegistry, model: str) -> None:
        self._registry = registry
        self._model = model

    def log(self, version: str, *, metrics: Mapping[str, float], step: int, documents: Mapping[str, Any]) -> None:
        del step
        self._registry._require_up()
        self._registry.logged.append(LoggedShadow(version, dict(metrics), dict(documents)))
