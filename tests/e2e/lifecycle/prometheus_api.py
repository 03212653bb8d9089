"""The HTTP API of the Prometheus that a stack installs, through the API server of the cluster.

Reference: <https://prometheus.io/docs/prometheus/latest/querying/api/>.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from infra import names
from tests.support.json_object import JsonObject
from tests.support.tools import Tools


@dataclass(frozen=True)
class Prometheus:
    """The Prometheus of a namespace."""

    machine: Tools
    namespace: str
    """Namespace of the workloads."""

    def unhealthy_targets(self) -> list[str]:
        """Return the targets that Prometheus cannot read, with the reason."""
        return [
            f"{target['scrapePool']}: {target['lastError']}" for target in self._targets() if target["health"] != "up"
        ]

    def pools(self) -> set[str]:
        """Return the monitors that have a target."""
        return {str(target["scrapePool"]) for target in self._targets()}

    def rules(self) -> dict[str, str]:
        """Return the health of each alert."""
        groups = self._get("rules")["groups"]
        return {str(rule["name"]): str(rule["health"]) for group in groups for rule in group["rules"]}

    def values(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each result of a query."""
        results = self._get("query", query=query)["result"]
        return [(result["metric"], float(result["value"][1])) for result in results]

    def fired(self, window: str) -> set[str]:
        """Return the alerts that have fired in the last time, such as `1h`."""
        query = f'last_over_time(ALERTS{{alertstate="firing"}}[{window}])'
        return {labels["alertname"] for labels, _ in self.values(query)}

    def _targets(self) -> list[JsonObject]:
        targets: list[JsonObject] = self._get("targets", state="active")["activeTargets"]
        return targets

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        namespace = names.monitoring_namespace(self.namespace)
        service = f"{names.PROMETHEUS}:{names.PROMETHEUS_PORT}"
        url = f"/api/v1/namespaces/{namespace}/services/{service}/proxy/api/v1/{path}?{urlencode(parameters)}"
        return json.loads(self.machine.kubectl("get", "--raw", url))["data"]
