"""What MLflow stores about rollouts and shadows: aliases and tags of the registered model, and tags of its versions."""

from collections.abc import Mapping
from functools import cached_property
from typing import Final, NamedTuple

import mlflow

from app import names
from app.errors import ModelNotFoundError
from app.models import registry_errors
from app.models.version_choice import ROLLED_BACK_TAG

ROLLOUT_TAG: Final = "manta.rollout"
"""Tag of a registered model: its running or last rollout, as JSON."""


SHADOW_TAG: Final = "manta.shadow"
"""Tag of a registered model: its shadow, as JSON."""


class RolloutReading(NamedTuple):
    """The aliases and the tags of a registered model."""

    aliases: Mapping[str, str]
    """Number of the version by the name of the alias."""
    content: str
    """Value of the rollout's tag; empty without a rollout."""
    shadow: str = ""
    """Value of the shadow's tag; empty without one."""


class RolloutRecords:
    """Reads and writes the rollouts of one registered model.

    Args:
        uri: URL of MLflow.
        model: Name of the registered model.
    """

    def __init__(self, uri: str, model: str) -> None:
        self._uri = uri
        self._model = model

    @cached_property
    def _client(self) -> mlflow.MlflowClient:
        """The client. A model without a rollout needs none, and there may be thousands of models."""
        return mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def read(self) -> RolloutReading:
        """Read aliases and tags by one request.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        try:
            with registry_errors.of_lookup(self._uri, f"There is no registered model {self._model!r}."):
                model = self._client.get_registered_model(self._model)
        except ModelNotFoundError:
            return RolloutReading({}, "")
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        return RolloutReading(aliases, model.tags.get(ROLLOUT_TAG, ""), model.tags.get(SHADOW_TAG, ""))

    def write(self, content: str) -> None:
        """Write the tag of the rollout.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        with registry_errors.of_lookup(self._uri, f"There is no registered model {self._model!r}."):
            self._client.set_registered_model_tag(self._model, ROLLOUT_TAG, content)

    def set_alias(self, alias: str, version: str) -> None:
        """Let an alias name a version.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        with registry_errors.of_lookup(self._uri, f"There is no version {version} of {self._model!r}."):
            self._client.set_registered_model_alias(self._model, alias, version)

    def delete_challenger(self, version: str) -> None:
        """Delete the alias `challenger`, unless it names another version.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        if self.read().aliases.get(names.CHALLENGER) != version:
            return
        with registry_errors.of_lookup(self._uri, f"There is no registered model {self._model!r}."):
            self._client.delete_registered_model_alias(self._model, names.CHALLENGER)

    def begin_shadow(self, version: str, content: str) -> None:
        """Write the tag of a shadow, and let the alias `shadow` name its version. The tag alone means nothing.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        with registry_errors.of_lookup(self._uri, f"There is no version {version} of {self._model!r}."):
            self._client.set_registered_model_tag(self._model, SHADOW_TAG, content)
            self._client.set_registered_model_alias(self._model, names.SHADOW, version)

    def end_shadow(self, version: str) -> None:
        """Delete the alias `shadow`, unless it names another version.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        if self.read().aliases.get(names.SHADOW) != version:
            return
        with registry_errors.of_lookup(self._uri, f"There is no registered model {self._model!r}."):
            self._client.delete_registered_model_alias(self._model, names.SHADOW)

    def mark_version(self, version: str, tags: Mapping[str, str], *, is_rolled_back: bool) -> None:
        """Write the verdict to a version. A version that was rolled back is not loaded without its number.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        with registry_errors.of_lookup(self._uri, f"There is no version {version} of {self._model!r}."):
            for key, value in tags.items():
                self._client.set_model_version_tag(self._model, version, key, value)
            if is_rolled_back:
                self._client.set_model_version_tag(self._model, version, ROLLED_BACK_TAG, "true")
