"""The newest versions of the default model, for `GET /model/versions` and for the page."""

from datetime import UTC, datetime
from typing import Final

from app.models.recent_versions import RecentVersion
from app.models.registry import Registry
from app.serving import schemas
from app.serving.schemas import VersionList, VersionSummary

COUNT: Final = 20
"""Maximum number of versions."""


def read(registry: Registry, name: str) -> VersionList:
    """Ask MLflow for the versions.

    Raises:
        ModelNotFoundError: MLflow has no such registered model yet.
        RegistryUnavailableError: MLflow does not answer.
    """
    summaries = [_summary(version) for version in registry.recent_versions(name, COUNT)]
    return VersionList(name=name, versions=summaries, timestamp=schemas.now())


def _summary(version: RecentVersion) -> VersionSummary:
    return VersionSummary(
        version=version.version,
        created=datetime.fromtimestamp(version.created_ms / 1000, UTC),
        description=version.description,
        aliases=list(version.aliases),
        gate=version.gate,
        reason=version.reason,
        metric=version.metric,
        was_rolled_back=version.was_rolled_back,
    )
