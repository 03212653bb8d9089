"""Access from outside of the cluster: node ports, Ingresses, HTTPRoutes or load balancers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes import apiextensions, core, meta, networking

from infra import endpoints, labels, names
from infra.config.access_options import AccessOptions
from infra.endpoints import Endpoint

HEAD: Final = {"ray.io/node-type": "head"}
"""Label of a Ray head. During an upgrade two heads have it, and the Services of this component answer from either."""
SELECTORS: Final = {
    endpoints.RAY: labels.selector(labels.RAY) | HEAD,
    endpoints.MLFLOW: labels.selector(labels.MLFLOW),
}
"""Pods behind each node port. Serve is absent: KubeRay owns Serve's Service and switches it during an upgrade."""
SERVICE_TYPES: Final = {"nodePort": "NodePort", "loadBalancer": "LoadBalancer", "gateway": "ClusterIP"}
"""Type of the Services of this component, by `access`."""


@dataclass(frozen=True, kw_only=True)
class AccessArgs:
    """Which endpoints to open, and how."""

    namespace: pulumi.Input[str]
    access: AccessOptions
    endpoints: Sequence[Endpoint]
    load_timeout_s: int
    """Time in which a replica loads a version; a proxy must wait longer for `/model/load`."""
    after: Sequence[pulumi.Resource]
    """Resources that create the Services behind the Ingresses."""


class Access(pulumi.ComponentResource):
    """Services and Ingresses through which clients outside of the cluster reach Ray, MLflow and Serve."""

    def __init__(self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Access", name, None, opts)
        child_opts = pulumi.ResourceOptions(parent=self, depends_on=list(args.after))
        for endpoint in args.endpoints:
            if endpoint.name in args.access.publish:
                self._publish(f"{name}-{endpoint.name}", endpoint, args, child_opts)
        self.register_outputs({})

    def _publish(self, name: str, endpoint: Endpoint, args: AccessArgs, opts: pulumi.ResourceOptions) -> None:
        access = args.access
        if _has_own_service(endpoint, access):
            core.v1.Service(
                name,
                metadata=_metadata(endpoint, args, _load_balancer_annotations(endpoint, access)),
                spec=_service(endpoint, access),
                opts=opts,
            )
        if access.access == "ingress":
            networking.v1.Ingress(
                name,
                metadata=_metadata(endpoint, args, _ingress_annotations(endpoint, args)),
                spec=_ingress(endpoint, access),
                opts=opts,
            )
        if access.access == "gateway":
            apiextensions.CustomResource(
                name,
                api_version="gateway.networking.k8s.io/v1",
                kind="HTTPRoute",
                metadata=_metadata(endpoint, args, access.access_annotations),
                spec=_http_route(endpoint, args),
                opts=opts,
            )


def serve_service(access: AccessOptions) -> dict[str, object] | None:
    """KubeRay's Service of Serve, where it has a node port or a load balancer; None means the default."""
    serve = Endpoint(
        name=endpoints.SERVE,
        service="",
        port=names.SERVE_PORT,
        local_port=0,
        node_port=endpoints.SERVE_NODE_PORT,
        subdomain="",
        max_body_size="",
    )
    if access.access not in ("nodePort", "loadBalancer") or serve.name not in access.publish:
        return None
    service: dict[str, object] = {"spec": _service(serve, access, port_name="serve")}
    if annotations := _load_balancer_annotations(serve, access):
        service["metadata"] = {"annotations": annotations}
    return service


def timeout_s(load_timeout_s: int) -> int:
    """Seconds that a proxy waits for an answer: a load takes its timeout, and a minute for the other replicas."""
    return load_timeout_s + 60


def _name(endpoint: Endpoint) -> str:
    """Name of the objects that publish an endpoint."""
    return f"access-{endpoint.name}"


def _metadata(endpoint: Endpoint, args: AccessArgs, annotations: Mapping[str, str]) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(
        name=_name(endpoint),
        namespace=args.namespace,
        labels=labels.of(endpoint.name),
        annotations=annotations or None,
    )


def _has_own_service(endpoint: Endpoint, access: AccessOptions) -> bool:
    """Whether clients reach an endpoint through a Service of this component.

    A Gateway gets one for Ray: KubeRay marks the ports of its Service with the protocol `tcp`, and some Gateways, such
    as Traefik's, then refuse an HTTPRoute to it.
    """
    if access.access == "gateway":
        return endpoint.name == endpoints.RAY
    return access.access in SERVICE_TYPES and endpoint.name in SELECTORS


def _service(endpoint: Endpoint, access: AccessOptions, *, port_name: str = "http") -> core.v1.ServiceSpecArgs:
    """Service for clients, or for a Gateway. KubeRay fills in the selector of Serve's."""
    node_port = endpoint.node_port if access.access == "nodePort" else None
    return core.v1.ServiceSpecArgs(
        type=SERVICE_TYPES[access.access],
        selector=SELECTORS.get(endpoint.name),
        ports=[core.v1.ServicePortArgs(name=port_name, port=endpoint.port, node_port=node_port)],
        load_balancer_source_ranges=access.access_cidrs or None if access.access == "loadBalancer" else None,
    )


def _load_balancer_annotations(endpoint: Endpoint, access: AccessOptions) -> Mapping[str, str]:
    """Annotations of a load balancer. external-dns reads the host name."""
    if access.access != "loadBalancer":
        return {}
    host_name = endpoints.host_name(endpoint, access)
    return {"external-dns.alpha.kubernetes.io/hostname": host_name, **access.access_annotations}


def _http_route(endpoint: Endpoint, args: AccessArgs) -> dict[str, object]:
    """Spec of an HTTPRoute: <https://gateway-api.sigs.k8s.io/reference/spec/#httproute>."""
    namespace, _, gateway = args.access.gateway.partition("/")
    service = _name(endpoint) if _has_own_service(endpoint, args.access) else endpoint.service
    return {
        "parentRefs": [{"name": gateway, "namespace": namespace}],
        "hostnames": [endpoints.host_name(endpoint, args.access)],
        "rules": [
            {
                "backendRefs": [{"name": service, "port": endpoint.port}],
                "timeouts": {"request": f"{timeout_s(args.load_timeout_s)}s"},
            }
        ],
    }


def _ingress(endpoint: Endpoint, access: AccessOptions) -> networking.v1.IngressSpecArgs:
    host = endpoints.host_name(endpoint, access)
    service = networking.v1.IngressServiceBackendArgs(
        name=endpoint.service, port=networking.v1.ServiceBackendPortArgs(number=endpoint.port)
    )
    path = networking.v1.HTTPIngressPathArgs(
        path="/", path_type="Prefix", backend=networking.v1.IngressBackendArgs(service=service)
    )
    return networking.v1.IngressSpecArgs(
        ingress_class_name=access.ingress_class,
        tls=[networking.v1.IngressTLSArgs(hosts=[host], secret_name=access.tls)],
        rules=[
            networking.v1.IngressRuleArgs(host=host, http=networking.v1.HTTPIngressRuleValueArgs(paths=[path])),
        ],
    )


def _ingress_annotations(endpoint: Endpoint, args: AccessArgs) -> dict[str, str]:
    """Annotations of ingress-nginx, which other controllers ignore, and those of the configuration."""
    seconds = str(timeout_s(args.load_timeout_s))
    return {
        "nginx.ingress.kubernetes.io/proxy-body-size": endpoint.max_body_size,
        "nginx.ingress.kubernetes.io/proxy-read-timeout": seconds,
        "nginx.ingress.kubernetes.io/proxy-send-timeout": seconds,
        "nginx.ingress.kubernetes.io/ssl-redirect": "true",
        **args.access.access_annotations,
    }
