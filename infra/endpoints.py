"""The HTTP endpoints of the platform, and their URLs for each kind of access.

`components/access.py` registers the Services and Ingresses behind these URLs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

from infra import names
from infra.config.access_options import AccessOptions
from infra.config.monitoring_options import GRAFANA_LOCAL_PORT


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One of the three HTTP services."""

    name: str
    service: str
    """Name of the Service in the cluster."""
    port: int
    """Port of the Service."""
    local_port: int
    """Port on this machine, for a port-forward."""
    node_port: int
    """Port on every node, for the access `nodePort`."""
    subdomain: str
    """Prefix of `host` in an Ingress. The web pages of Ray and MLflow do not work below a path."""
    path: str = ""
    """Path below the host under which the service answers."""
    max_body_size: str
    """Largest request body that an Ingress accepts."""


class Forward(TypedDict):
    """One port-forward of `manta forward`, as the stack output `forwards` lists it."""

    name: str
    namespace: str
    service: str
    port: int
    localPort: int


RAY: Final = "ray"
MLFLOW: Final = "mlflow"
SERVE: Final = "serve"
SERVE_NODE_PORT: Final = 30800


def endpoints(*, ray_service_name: str, route_prefix: str) -> list[Endpoint]:
    """Endpoints of Ray's dashboard with the Jobs API, of MLflow, and of Serve."""
    return [
        Endpoint(
            name=RAY,
            service=names.head_service(ray_service_name),
            port=names.DASHBOARD_PORT,
            local_port=8265,
            node_port=30265,
            subdomain="ray.",
            max_body_size="128m",  # the working directory of a job: Ray refuses more than 100 MB
        ),
        Endpoint(
            name=MLFLOW,
            service=names.MLFLOW,
            port=names.MLFLOW_PORT,
            local_port=8989,
            node_port=30989,
            subdomain="mlflow.",
            max_body_size="1g",  # models and plots pass through the server to the object store
        ),
        Endpoint(
            name=SERVE,
            service=names.serve_service(ray_service_name),
            port=names.SERVE_PORT,
            local_port=8000,
            node_port=SERVE_NODE_PORT,
            subdomain="",
            path=route_prefix,
            max_body_size="8m",  # the limit of the application
        ),
    ]


def url(endpoint: Endpoint, access: AccessOptions) -> str:
    """URL for a client outside of the cluster."""
    tunnel = f"http://localhost:{endpoint.local_port}"
    origins = {
        "port-forward": tunnel,
        "nodePort": f"http://{access.host}:{endpoint.node_port}",
        "ingress": f"https://{host_name(endpoint, access)}",
        "gateway": f"https://{host_name(endpoint, access)}",
        "loadBalancer": f"http://{host_name(endpoint, access)}:{endpoint.port}",
    }
    origin = origins[access.access] if endpoint.name in access.publish else tunnel
    return f"{origin}{endpoint.path}".rstrip("/")


def host_name(endpoint: Endpoint, access: AccessOptions) -> str:
    """Host name of a published endpoint."""
    return f"{endpoint.subdomain}{access.host}"


def forwards(endpoints: Sequence[Endpoint], *, namespace: str) -> list[Forward]:
    """Port-forwards that `manta forward` opens; they work with every kind of access."""
    return [
        Forward(
            name=endpoint.name,
            namespace=namespace,
            service=endpoint.service,
            port=endpoint.port,
            localPort=endpoint.local_port,
        )
        for endpoint in endpoints
    ]


def grafana_forward(namespace: str) -> Forward:
    """Port-forward to the Grafana that the stack installs in a namespace."""
    return Forward(
        name=names.GRAFANA,
        namespace=namespace,
        service=names.GRAFANA,
        port=names.GRAFANA_PORT,
        localPort=GRAFANA_LOCAL_PORT,
    )


def mlflow_redirect_uri(access: AccessOptions) -> str:
    """Address to which a sign-in of MLflow returns, if MLflow has an https address; empty otherwise."""
    if access.access not in ("ingress", "gateway") or MLFLOW not in access.publish:
        return ""
    return f"https://{MLFLOW}.{access.host}/callback"


def mlflow_public_hosts(access: AccessOptions) -> list[str]:
    """Host names through which clients outside of the cluster reach MLflow, besides localhost."""
    if access.access == "port-forward" or MLFLOW not in access.publish:
        return []
    return [access.host if access.access == "nodePort" else f"{MLFLOW}.{access.host}"]
