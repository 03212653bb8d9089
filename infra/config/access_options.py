"""How clients outside of the cluster reach the platform."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from infra.config.network_options import Cidr
from infra.config.options import OptionGroup
from infra.config.vocabulary import Host, NamespaceName, ObjectName, allowed

GATEWAY: Final = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"


class AccessOptions(OptionGroup):
    """Access for clients."""

    access: Literal["port-forward", "nodePort", "ingress", "gateway", "loadBalancer"] = Field(
        "port-forward",
        description=(
            "How clients reach the platform: through tunnels (port-forward), node ports, an Ingress with TLS, "
            "HTTPRoutes of an existing Gateway, or load balancers."
        ),
    )
    publish: tuple[Literal["ray", "mlflow", "serve"], ...] = Field(
        ("ray", "mlflow", "serve"),
        examples=[["serve"]],
        description="Services that `access` opens to clients. The others are reached through tunnels.",
    )
    host: Host = Field(
        "",
        examples=["manta.example.com"],
        description="Host name of the service; Ray and MLflow have ray.HOST and mlflow.HOST. A node's address for "
        "`nodePort`.",
    )
    tls: ObjectName = Field(
        "", examples=["manta-tls"], description="Existing TLS Secret for the host names HOST, ray.HOST and mlflow.HOST."
    )
    ingress_class: str = Field("nginx", min_length=1, description="IngressClass of the Ingress.")
    ingress_namespace: NamespaceName = Field(
        "ingress-nginx", description="Namespace of the ingress controller, or of the pods of the Gateway."
    )
    gateway: Annotated[
        str, StringConstraints(pattern=GATEWAY), allowed("NAMESPACE/NAME of a Gateway with a listener for HTTPS")
    ] = Field("", examples=["infra/public"], description="Existing Gateway of the HTTPRoutes, for `access: gateway`.")
    access_annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Annotations of the Ingresses, HTTPRoutes or load balancers, for their controller.",
    )
    access_cidrs: tuple[Cidr, ...] = Field(
        (),
        examples=[["10.0.0.0/16"]],
        description="Addresses from which the published services may be reached, in addition to `ingressNamespace`: "
        "load balancers that send requests to pods directly. Empty with `loadBalancer` and `nodePort`: any.",
    )
