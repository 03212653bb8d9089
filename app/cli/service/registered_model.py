"""The versions of a registered model, from MLflow's HTTP API: importing MLflow takes longer than the requests."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from app import names
from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.errors import ModelNotFoundError, PlatformError, cause
from app.models.version_choice import (
    GATE_TAG,
    PASSED,
    PROMOTE_TAG,
    PROMOTED_AT_TAG,
    REPLACED_TAG,
    ROLLED_BACK_TAG,
    ROLLOUT_VERDICT_TAG,
    metric_of,
)

API: Final = "/api/2.0/mlflow"

TIMEOUT_S: Final = 30.0

PROMOTED: Final = "promoted"
"""Value of the tag `rollout.verdict`: the rollout made the version the champion."""

PAGE_SIZE: Final = 200
"""Number of versions in one answer of MLflow."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model."""

    number: int
    created: datetime
    """In UTC."""
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def gate(self) -> str:
        """Verdict of the gate: `passed`, `failed` or `forced`; empty if no gate judged the version."""
        if ROLLED_BACK_TAG in self.tags:
            return f"{self.tags.get(GATE_TAG, '')}, rolled back"
        return self.tags.get(GATE_TAG, "")

    @property
    def metric(self) -> str:
        """Name and value of the metric that the gate compared; empty if no gate judged the version."""
        return metric_of(self.tags)

    @property
    def promoted_at_ms(self) -> int:
        """When training promoted the version, in milliseconds since 1970; 0 if it did not."""
        time_ms = self.tags.get(PROMOTED_AT_TAG, "")
        return int(time_ms) if re.fullmatch(r"[0-9]+", time_ms) else 0


def read_versions(endpoints: Endpoints, name: str) -> list[Version]:
    """Read all versions of a registered model, newest first.

    Raises:
        ModelNotFoundError: MLflow has no such registered model.
        PlatformError: MLflow does not answer, or refuses the credentials.
    """
    model = _get(endpoints, "/registered-models/get", {"name": name}, name=name)["registered_model"]
    aliases: dict[int, list[str]] = {}
    for alias in model.get("aliases", []):
        aliases.setdefault(int(alias["version"]), []).append(alias["alias"])
    return [
        Version(
            number=int(version["version"]),
            created=datetime.fromtimestamp(int(version["creation_timestamp"]) / 1000, tz=UTC),
            tags={tag["key"]: tag["value"] for tag in version.get("tags", [])},
            aliases=tuple(sorted(aliases.get(int(version["version"]), []))),
        )
        for version in _pages(endpoints, name)
    ]


def previous_champion(versions: list[Version]) -> Version | None:
    """Choose the version to go back to: the last one that was promoted before the champion and was not rolled back.

    After a rollout that promoted the champion, this is the champion before it, which the replicas still hold.

    Args:
        versions: All versions, newest first.

    Returns:
        The version; None if there is no champion, or if no earlier version was the champion and passed its gate.
    """
    champion = next((version for version in versions if names.CHAMPION in version.aliases), None)
    if champion is None:
        return None
    replaced = champion.tags.get(REPLACED_TAG) if champion.tags.get(ROLLOUT_VERDICT_TAG) == PROMOTED else None
    for version in versions:
        if names.PREVIOUS in version.aliases and str(version.number) == replaced:
            return version
    former = [
        version
        for version in versions
        if version.number < champion.number
        and version.promoted_at_ms
        and version.tags.get(GATE_TAG) == PASSED
        and version.tags.get(PROMOTE_TAG) != "false"
        and ROLLED_BACK_TAG not in version.tags
    ]
    return max(former, key=lambda version: version.promoted_at_ms, default=None)


def _pages(endpoints: Endpoints, name: str) -> Iterator[JsonObject]:
    query = {"filter": f"name='{name}'", "max_results": str(PAGE_SIZE), "order_by": "version_number DESC"}
    while True:
        page = _get(endpoints, "/model-versions/search", query, name=name)
        yield from page.get("model_versions", [])
        if not page.get("next_page_token"):
            return
        query["page_token"] = page["next_page_token"]


def _get(endpoints: Endpoints, path: str, query: dict[str, str], *, name: str) -> JsonObject:
    url = endpoints.mlflow_url.rstrip("/") + API + path
    try:
        response = httpx.get(url, params=query, auth=endpoints.mlflow_auth, timeout=TIMEOUT_S)
        document: JsonObject = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise PlatformError(
            f"MLflow at {endpoints.mlflow_url} does not answer: {cause(error)}.",
            next_step="Start the platform with `manta local`, or name MLflow with MLFLOW_TRACKING_URI.",
        ) from error
    if document.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
        raise ModelNotFoundError(
            f"There is no registered model {name!r}.",
            next_step="Train and register a model: manta train. Or name another one with --name.",
        )
    if response.is_error:
        raise PlatformError(
            f"MLflow at {endpoints.mlflow_url} answers {response.status_code}: {document.get('message', document)}",
            next_step="Give the user with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or use --stack.",
        )
    return document
