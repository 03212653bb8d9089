"""The ways in from outside: nothing for port-forward, ports of the nodes, or Ingresses with TLS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes import core, networking

from infra import endpoints, labels
from infra.config.settings import Settings
from infra.endpoints import Endpoint

HEAD: Final = {"ray.io/node-type": "head"}
"""During an upgrade two heads have it: a node port then answers from either."""
SELECTORS: Final = {
    endpoints.RAY: labels.selector(labels.RAY) | HEAD,
    endpoints.MLFLOW: labels.selector(labels.MLFLOW),
}
"""Pods behind a node port. Serve is not here: its Service is KubeRay's, which moves it at an upgrade."""


@dataclass(frozen=True, kw_only=True)
class AccessArgs:
    """What to open, and for whom."""

    namespace: pulumi.Input[str]
    settings: Settings
    after: Sequence[pulumi.Resource]
    """What makes the Services that the ways lead to."""


class Access(pulumi.ComponentResource):
    """How clients outside of the cluster reach Ray, MLflow and Serve."""

    def __init__(self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Access", name, None, opts)
        self._name, self._args = name, args
        ways: dict[str, Callable[[Endpoint], None]] = {
            "port-forward": lambda _: None,
            "nodePort": self._node_port,
            "ingress": self._ingress,
        }
        for endpoint in endpoints.endpoints(args.settings):
            ways[args.settings.access.access](endpoint)
        self.register_outputs({})

    def _node_port(self, endpoint: Endpoint) -> None:
        if endpoint.name not in SELECTORS:
            return
        spec: Any = {
            "type": "NodePort",
            "selector": SELECTORS[endpoint.name],
            "ports": [{"name": "http", "port": endpoint.port, "nodePort": endpoint.node_port}],
        }
        core.v1.Service(
            f"{self._name}-{endpoint.name}", metadata=self._metadata(endpoint), spec=spec, opts=self._opts()
        )

    def _ingress(self, endpoint: Endpoint) -> None:
        access = self._args.settings.access
        host = f"{endpoint.subdomain}{access.host}"
        service = {"name": endpoint.service, "port": {"number": endpoint.port}}
        path = {"path": "/", "pathType": "Prefix", "backend": {"service": service}}
        spec: Any = {
            "ingressClassName": access.ingress_class,
            "tls": [{"hosts": [host], "secretName": access.tls}],
            "rules": [{"host": host, "http": {"paths": [path]}}],
        }
        annotations = {
            "nginx.ingress.kubernetes.io/proxy-body-size": endpoint.max_body,
            "nginx.ingress.kubernetes.io/ssl-redirect": "true",
        }
        networking.v1.Ingress(
            f"{self._name}-{endpoint.name}",
            metadata=self._metadata(endpoint) | {"annotations": annotations},
            spec=spec,
            opts=self._opts(),
        )

    def _metadata(self, endpoint: Endpoint) -> Any:  # noqa: ANN401  (plain data, in the API's own words)
        return {
            "name": f"access-{endpoint.name}",
            "namespace": self._args.namespace,
            "labels": labels.of(endpoint.name),
        }

    def _opts(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[*self._args.after])
