"""Network policies: they deny all traffic in the stack's namespaces, then allow exactly the flows of a table.

`network_flows.py` computes the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import meta, networking

from infra import labels, names
from infra.components.network_flows import Flow, Peer


def policies(table: Sequence[Flow]) -> dict[tuple[str, str], networking.v1.NetworkPolicySpecArgs]:
    """Specs of the network policies, by namespace and name."""
    peers = sorted({peer for flow in table for peer in (flow.source, flow.destination) if peer.is_managed}, key=str)
    default_deny = networking.v1.NetworkPolicySpecArgs(
        pod_selector=meta.v1.LabelSelectorArgs(), policy_types=["Ingress", "Egress"]
    )
    specs = {(namespace, "default-deny"): default_deny for namespace in sorted({peer.namespace for peer in peers})}
    for peer in peers:
        specs[peer.namespace, peer.name] = networking.v1.NetworkPolicySpecArgs(
            pod_selector=_pods(peer),
            policy_types=["Ingress", "Egress"],
            ingress=[
                networking.v1.NetworkPolicyIngressRuleArgs(from_=_addresses(flow.source), ports=_ports(flow))
                for flow in table
                if flow.destination == peer
            ],
            egress=[
                networking.v1.NetworkPolicyEgressRuleArgs(to=_addresses(flow.destination), ports=_ports(flow))
                for flow in table
                if flow.source == peer
            ],
        )
    return specs


def _addresses(peer: Peer) -> list[networking.v1.NetworkPolicyPeerArgs] | None:
    """Peers of a rule, as its `from` or `to`; None allows any address."""
    addresses = [
        networking.v1.NetworkPolicyPeerArgs(ip_block=networking.v1.IPBlockArgs(cidr=cidr)) for cidr in peer.cidrs
    ]
    if peer.namespace:
        namespace = meta.v1.LabelSelectorArgs(match_labels={labels.NAMESPACE_NAME: peer.namespace})
        pods = networking.v1.NetworkPolicyPeerArgs(namespace_selector=namespace, pod_selector=_pods(peer))
        addresses.insert(0, pods)
    return addresses or None


def _ports(flow: Flow) -> list[networking.v1.NetworkPolicyPortArgs] | None:
    """Ports of a rule; None allows every port."""
    ports = [
        networking.v1.NetworkPolicyPortArgs(port=port, protocol=protocol)
        for port in flow.ports
        for protocol in flow.protocols
    ]
    return ports or None


def _pods(peer: Peer) -> meta.v1.LabelSelectorArgs:
    return meta.v1.LabelSelectorArgs(match_labels=dict(peer.pods) or None)


@dataclass(frozen=True, kw_only=True)
class NetworkPoliciesArgs:
    """The flows to allow, and the namespaces of their peers."""

    flows: Sequence[Flow]
    namespaces: Mapping[str, pulumi.Input[str]]
    """Namespace of each managed peer by name, as an output that waits until the namespace exists."""


class NetworkPolicies(pulumi.ComponentResource):
    """The NetworkPolicy objects of all flows."""

    def __init__(self, name: str, args: NetworkPoliciesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:NetworkPolicies", name, None, opts)
        for (namespace, policy), spec in policies(args.flows).items():
            networking.v1.NetworkPolicy(
                f"{name}-{policy}-{namespace}",
                metadata=meta.v1.ObjectMetaArgs(
                    name=policy,
                    namespace=args.namespaces[namespace],
                    labels=labels.of(names.PART_OF),
                ),
                spec=spec,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
