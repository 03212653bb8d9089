"""Where clients find Ray, MLflow and Serve, by kind of access; `components/access.py` opens the ways."""

from dataclasses import dataclass
from typing import Any, Final

from infra import names
from infra.config.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One of the three HTTP services."""

    name: str
    service: str
    """Service in the cluster."""
    port: int
    local_port: int
    """Port on this machine, for a tunnel."""
    node_port: int
    subdomain: str
    """Prefix of `host` in an Ingress: Ray's and MLflow's pages do not work under a path."""
    max_body: str
    """Largest request through an Ingress."""


RAY: Final = "ray"
MLFLOW: Final = "mlflow"
SERVE: Final = "serve"


def endpoints(settings: Settings) -> list[Endpoint]:
    """Ray's dashboard with its Jobs API, MLflow, and Serve."""
    ray_service = settings.cluster.ray_service_name
    return [
        Endpoint(
            name=RAY,
            service=names.head_service(ray_service),
            port=names.DASHBOARD_PORT,
            local_port=8265,
            node_port=30265,
            subdomain="ray.",
            max_body="128m",  # a job's working directory: Ray refuses more than 100 MB
        ),
        Endpoint(
            name=MLFLOW,
            service=names.MLFLOW,
            port=names.MLFLOW_PORT,
            local_port=8989,
            node_port=30989,
            subdomain="mlflow.",
            max_body="1g",  # a model or plot that goes through the server to the object store
        ),
        Endpoint(
            name=SERVE,
            service=names.serve_service(ray_service),
            port=names.SERVE_PORT,
            local_port=8000,
            node_port=30800,
            subdomain="",
            max_body="8m",  # the app's own limit
        ),
    ]


def url(endpoint: Endpoint, settings: Settings) -> str:
    """Address for a client outside of the cluster."""
    access = settings.access
    path = settings.app.route_prefix if endpoint.name == SERVE else ""
    origin = {
        "port-forward": f"http://localhost:{endpoint.local_port}",
        "nodePort": f"http://{access.host}:{endpoint.node_port}",
        "ingress": f"https://{endpoint.subdomain}{access.host}",
    }[access.access]
    return f"{origin}{path}".rstrip("/")


def forwards(settings: Settings) -> list[dict[str, Any]]:
    """The tunnels that `manta forward` holds open; they work whatever the kind of access."""
    return [
        {
            "name": endpoint.name,
            "namespace": settings.cluster.namespace,
            "service": endpoint.service,
            "port": endpoint.port,
            "localPort": endpoint.local_port,
        }
        for endpoint in endpoints(settings)
    ]


def public_hosts(settings: Settings) -> list[str]:
    """Host names under which MLflow is reached from outside, beside localhost."""
    host = settings.access.host
    return {"port-forward": [], "nodePort": [host], "ingress": [f"{MLFLOW}.{host}"]}[settings.access.access]


def serve_node_port(settings: Settings) -> int | None:
    """Port of the nodes that KubeRay's Service for Serve takes, if any."""
    if settings.access.access != "nodePort":
        return None
    return next(endpoint.node_port for endpoint in endpoints(settings) if endpoint.name == SERVE)
