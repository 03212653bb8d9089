"""Network policies: they deny all traffic in the stack's namespaces, then allow exactly the flows of a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes import meta, networking

from infra import labels, names
from infra.config.options import AccessOptions, StorageOptions

API_PORTS: Final = (443, 6443, 8443)
"""Ports of the API server: its Service, kubeadm and Minikube. No selector matches the address of the API server."""
DNS_PORTS: Final = (53,)
WEB_PORTS: Final = (443,)
NODE_LOCAL_DNS: Final = "169.254.20.10/32"
"""Address of NodeLocal DNSCache, which runs on the host network, where no selector matches it."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One end of a flow."""

    name: str
    namespace: str = ""
    """Empty means any address, inside or outside of the cluster."""
    pods: tuple[tuple[str, str], ...] = ()
    """Labels of the pods; empty means all pods of the namespace."""
    is_managed: bool = True
    """Whether this stack writes a network policy for the peer."""
    cidr: str = ""
    """Further addresses of the peer."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections from one peer to another."""

    source: Peer
    destination: Peer
    ports: tuple[int, ...]
    """Empty means every port."""
    protocols: tuple[str, ...] = ("TCP",)


def flows(*, namespace: str, storage: StorageOptions, access: AccessOptions, is_training_scheduled: bool) -> list[Flow]:
    """Every flow of the platform.

    Args:
        namespace: Namespace of the workloads.
        storage: Where Ray and MLflow keep their state.
        access: How clients outside of the cluster reach the platform.
        is_training_scheduled: Whether a CronJob submits training jobs.
    """
    ray, redis, mlflow, schedule = (
        Peer(name=name, namespace=namespace, pods=tuple(sorted(labels.selector(name).items())))
        for name in (labels.RAY, labels.REDIS, labels.MLFLOW, labels.SCHEDULE)
    )
    submitters = [schedule] if is_training_scheduled else []
    operator = Peer(name="operator", namespace=names.operator_namespace(namespace))
    dns = Peer(name="dns", namespace="kube-system", is_managed=False, cidr=NODE_LOCAL_DNS)
    anywhere = Peer(name="anywhere", is_managed=False)
    to_ray = (names.DASHBOARD_PORT, names.SERVE_PORT)
    to_mlflow = (names.MLFLOW_PORT,)
    table = [
        Flow(source=ray, destination=ray, ports=()),  # Ray picks its ports at run time
        Flow(source=ray, destination=mlflow, ports=to_mlflow),
        Flow(source=ray, destination=anywhere, ports=API_PORTS),  # the autoscaler, and data sets from URLs
        Flow(source=operator, destination=ray, ports=to_ray),
        Flow(source=operator, destination=anywhere, ports=API_PORTS),
        _to_redis(storage, ray, redis, anywhere),
        *_from_mlflow(storage, mlflow, anywhere),
        *(Flow(source=source, destination=ray, ports=(names.DASHBOARD_PORT,)) for source in submitters),
        *(
            Flow(source=source, destination=dns, ports=DNS_PORTS, protocols=("UDP", "TCP"))
            for source in (ray, mlflow, operator, *submitters)
        ),
    ]
    for client in _clients(access, anywhere):
        table.append(Flow(source=client, destination=ray, ports=to_ray))
        table.append(Flow(source=client, destination=mlflow, ports=to_mlflow))
    return table


def _to_redis(storage: StorageOptions, ray: Peer, redis: Peer, anywhere: Peer) -> Flow:
    if storage.redis == "external":
        port = int(storage.redis_address.rpartition(":")[2])
        return Flow(source=ray, destination=anywhere, ports=(port,))
    return Flow(source=ray, destination=redis, ports=(names.REDIS_PORT,))


def _from_mlflow(storage: StorageOptions, mlflow: Peer, anywhere: Peer) -> Iterator[Flow]:
    if storage.mlflow_backend == "postgres":
        yield Flow(source=mlflow, destination=anywhere, ports=(storage.postgres_port,))
    if storage.artifact_root != "volume":
        yield Flow(source=mlflow, destination=anywhere, ports=WEB_PORTS)


def _clients(access: AccessOptions, anywhere: Peer) -> Iterator[Peer]:
    """Peers outside of the platform. A port-forward enters a pod from its node, which no policy blocks."""
    if access.access == "ingress":
        yield Peer(name="ingress", namespace=access.ingress_namespace, is_managed=False)
    if access.access == "nodePort":
        yield anywhere


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
    if not peer.namespace:
        return None
    namespace = meta.v1.LabelSelectorArgs(match_labels={labels.NAMESPACE_NAME: peer.namespace})
    addresses = [networking.v1.NetworkPolicyPeerArgs(namespace_selector=namespace, pod_selector=_pods(peer))]
    if peer.cidr:
        ip_block = networking.v1.IPBlockArgs(cidr=peer.cidr)
        addresses.append(networking.v1.NetworkPolicyPeerArgs(ip_block=ip_block))
    return addresses


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
