"""Access from outside of the cluster: node ports, Ingresses with TLS, or nothing for port-forward."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes import core, meta, networking

from infra import endpoints, labels
from infra.config.options import AccessOptions
from infra.endpoints import Endpoint

HEAD: Final = {"ray.io/node-type": "head"}
"""Label of a Ray head. During an upgrade two heads have it, and a node port answers from either."""
SELECTORS: Final = {
    endpoints.RAY: labels.selector(labels.RAY) | HEAD,
    endpoints.MLFLOW: labels.selector(labels.MLFLOW),
}
"""Pods behind each node port. Serve is absent: KubeRay owns Serve's Service and switches it during an upgrade."""


@dataclass(frozen=True, kw_only=True)
class AccessArgs:
    """Which endpoints to open, and how."""

    namespace: pulumi.Input[str]
    access: AccessOptions
    endpoints: Sequence[Endpoint]
    after: Sequence[pulumi.Resource]
    """Resources that create the Services behind the Ingresses."""


class Access(pulumi.ComponentResource):
    """Services and Ingresses through which clients outside of the cluster reach Ray, MLflow and Serve."""

    def __init__(self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Access", name, None, opts)
        child_opts = pulumi.ResourceOptions(parent=self, depends_on=list(args.after))
        for endpoint in args.endpoints:
            if args.access.access == "nodePort" and endpoint.name in SELECTORS:
                core.v1.Service(
                    f"{name}-{endpoint.name}",
                    metadata=_metadata(endpoint, args.namespace),
                    spec=_node_port(endpoint),
                    opts=child_opts,
                )
            if args.access.access == "ingress":
                networking.v1.Ingress(
                    f"{name}-{endpoint.name}",
                    metadata=_metadata(endpoint, args.namespace, annotations=_ingress_annotations(endpoint)),
                    spec=_ingress(endpoint, args.access),
                    opts=child_opts,
                )
        self.register_outputs({})


def _metadata(
    endpoint: Endpoint, namespace: pulumi.Input[str], *, annotations: dict[str, str] | None = None
) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(
        name=f"access-{endpoint.name}",
        namespace=namespace,
        labels=labels.of(endpoint.name),
        annotations=annotations,
    )


def _node_port(endpoint: Endpoint) -> core.v1.ServiceSpecArgs:
    return core.v1.ServiceSpecArgs(
        type="NodePort",
        selector=SELECTORS[endpoint.name],
        ports=[core.v1.ServicePortArgs(name="http", port=endpoint.port, node_port=endpoint.node_port)],
    )


def _ingress(endpoint: Endpoint, access: AccessOptions) -> networking.v1.IngressSpecArgs:
    host = f"{endpoint.subdomain}{access.host}"
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


def _ingress_annotations(endpoint: Endpoint) -> dict[str, str]:
    return {
        "nginx.ingress.kubernetes.io/proxy-body-size": endpoint.max_body_size,
        "nginx.ingress.kubernetes.io/ssl-redirect": "true",
    }
