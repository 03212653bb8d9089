"""The network of a stack: which connections its pods may open, and the proxy that they use."""

import ipaddress
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from infra.config.options import NestedOptions, OptionGroup
from infra.config.proxy import ProxyOptions
from infra.config.vocabulary import ObjectName, Port, allowed

PRIVATE_CIDRS: Final = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
"""Private, shared and link-local addresses: RFC 1918, RFC 6598 and RFC 3927."""


def _cidr(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a range of addresses: {error}; allowed is ADDRESS/PREFIX") from error


Cidr = Annotated[str, AfterValidator(_cidr), allowed("a range of addresses, such as `10.0.0.0/8`")]
"""A range of IPv4 or IPv6 addresses."""
Part = Literal["ray", "mlflow", "operator", "schedule", "monitoring"]
"""A part of the platform that opens connections."""


class EgressRule(NestedOptions):
    """One entry of `extraEgress`: connections that pods may open, in addition to those of the platform."""

    cidr: Cidr
    ports: tuple[Port, ...] = ()
    """Empty: every port."""
    protocol: Literal["TCP", "UDP"] = "TCP"
    sources: Annotated[tuple[Part, ...], Field(alias="from", min_length=1)] = ("ray", "mlflow")


class NetworkOptions(OptionGroup):
    """Network policies and proxy."""

    network_policies: bool = Field(
        default=True,
        description="Whether network policies deny every connection that the platform does not need.",
    )
    dns_cidrs: tuple[Cidr, ...] = Field(
        PRIVATE_CIDRS,
        examples=[["169.254.20.10/32"]],
        description="Addresses at which pods may ask for names, besides the DNS pods of `kube-system` and "
        "`openshift-dns`: DNS on the nodes, or of the cloud.",
    )
    extra_egress: tuple[EgressRule, ...] = Field(
        (),
        examples=[[{"cidr": "10.1.2.0/24", "ports": [9000], "from": ["ray"]}]],
        description="Further connections that pods may open: `cidr`, `ports` (empty: all), `protocol` (`TCP` or "
        "`UDP`), and `from`, a list of `ray`, `mlflow`, `operator`, `schedule` and `monitoring`.",
    )
    monitoring_namespace: ObjectName = Field(
        "",
        examples=["monitoring"],
        description="Namespace whose pods may read the metrics of Ray, MLflow and the operator. Empty: none, or with "
        "`monitoring: install` the namespace with the suffix `-monitoring`.",
    )
    proxy: ProxyOptions = Field(
        ProxyOptions(),
        examples=[{"https": "http://proxy.example.com:3128"}],
        description="HTTP proxy of pods and image builds: `http`, `https`, and `noProxy`, a list of hosts and domains "
        "that are reached directly. The addresses of the cluster are always reached directly.",
    )
