"""The HTTP API of the Prometheus that a stack installs, through a tunnel.

Reference: <https://prometheus.io/docs/prometheus/latest/querying/api/>.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

from app.cli.ports import free_ports
from app.cli.stack import tunnels
from app.cli.stack.outputs import Tunnel
from infra import names
from tests.support.json_object import JsonObject


@contextmanager
def reached(context: str, namespace: str) -> "Iterator[Prometheus]":
    """Keep a tunnel open to the Prometheus of a stack.

    Args:
        context: Context of the kubeconfig.
        namespace: Namespace of the workloads.
    """
    (port,) = free_ports(1)
    tunnel = Tunnel(
        name="prometheus",
        namespace=names.monitoring_namespace(namespace),
        service=names.PROMETHEUS,
        port=names.PROMETHEUS_PORT,
        local_port=port,
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(tunnels.open_tunnel(tunnel, context=context, report=print)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", timeout=60) as api,
    ):
        yield Prometheus(api)


@dataclass(frozen=True)
class Prometheus:
    """The Prometheus of a stack."""

    api: httpx.Client

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
        return self.api.get(path, params=parameters).raise_for_status().json()["data"]
