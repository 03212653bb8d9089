"""The newest versions of a registered model, with their aliases and the verdict of the gate."""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient

from app.models.version_choice import GATE_TAG, REASON_TAG, ROLLED_BACK_TAG, metric_of


@dataclass(frozen=True, kw_only=True)
class RecentVersion:
    """A version of a registered model."""

    version: str
    """Number of the version."""
    created_ms: int
    """When it was registered, in milliseconds since 1970."""
    description: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def gate(self) -> str:
        """Verdict of the gate: `passed`, `failed` or `forced`; empty if no gate judged the version."""
        return self.tags.get(GATE_TAG, "")

    @property
    def reason(self) -> str:
        """What the gate compared, in sentences; empty if no gate judged the version."""
        return self.tags.get(REASON_TAG, "")

    @property
    def metric(self) -> str:
        """Name and value of the metric that the gate compared; empty if no gate judged the version."""
        return metric_of(self.tags)

    @property
    def was_rolled_back(self) -> bool:
        """Whether an older version replaced it while it was the champion."""
        return ROLLED_BACK_TAG in self.tags


def read(client: MlflowClient, name: str, count: int) -> list[RecentVersion]:
    """Read the newest versions of a registered model, newest first, by two requests.

    Args:
        client: Client of MLflow.
        name: Name of the registered model.
        count: Maximum number of versions.

    Raises:
        MlflowException, OSError: The model does not exist, or MLflow does not answer.
    """
    aliases: dict[str, list[str]] = {}
    for alias, version in client.get_registered_model(name).aliases.items():
        aliases.setdefault(str(version), []).append(alias)
    page = client.search_model_versions(f"name = '{name}'", max_results=count, order_by=["version_number DESC"])
    return [
        RecentVersion(
            version=str(version.version),
            created_ms=version.creation_timestamp,
            description=version.description or "",
            aliases=tuple(sorted(aliases.get(str(version.version), []))),
            tags=dict(version.tags),
        )
        for version in page
    ]
