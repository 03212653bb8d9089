"""Who may talk to whom: all is denied in our namespaces, then exactly the flows of a table are allowed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes import networking

from infra import labels, names
from infra.components.namespaces import Namespaces
from infra.config.settings import Settings

API_PORTS: Final = (443, 6443, 8443)
"""The API server, whose address no selector matches: as a Service, as kubeadm and as Minikube have it."""
DNS_PORTS: Final = (53,)
WEB_PORTS: Final = (443,)
NODE_LOCAL_DNS: Final = "169.254.20.10/32"
"""Address of a node's DNS cache: it runs on the host's network, where no selector finds it."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One end of a flow."""

    name: str
    namespace: str = ""
    """Empty means everywhere, outside of the cluster too."""
    pods: tuple[tuple[str, str], ...] = ()
    """Labels of the pods; none means all pods of the namespace."""
    is_ours: bool = True
    """Whether policies apply to it; those of others are theirs to write."""
    cidr: str = ""
    """Further addresses of it."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """One direction in which connections are made."""

    source: Peer
    destination: Peer
    ports: tuple[int, ...]
    """Empty means every port."""
    protocols: tuple[str, ...] = ("TCP",)


def flows(settings: Settings) -> list[Flow]:
    """Every flow that the platform has."""
    namespace = settings.cluster.namespace
    ray, redis, mlflow, schedule = (
        Peer(name=name, namespace=namespace, pods=tuple(sorted(labels.selector(name).items())))
        for name in (labels.RAY, labels.REDIS, labels.MLFLOW, labels.SCHEDULE)
    )
    submitters = [schedule] if settings.schedule.train_schedule else []
    operator = Peer(name="operator", namespace=names.operator_namespace(namespace))
    dns = Peer(name="dns", namespace="kube-system", is_ours=False, cidr=NODE_LOCAL_DNS)
    anywhere = Peer(name="anywhere", is_ours=False)
    to_ray = (names.DASHBOARD_PORT, names.SERVE_PORT)
    to_mlflow = (names.MLFLOW_PORT,)
    table = [
        Flow(source=ray, destination=ray, ports=()),  # Ray opens ports as it goes
        Flow(source=ray, destination=mlflow, ports=to_mlflow),
        Flow(source=ray, destination=anywhere, ports=API_PORTS),  # the autoscaler, and data by URL
        Flow(source=operator, destination=ray, ports=to_ray),
        Flow(source=operator, destination=anywhere, ports=API_PORTS),
        *_to_redis(settings, ray, redis, anywhere),
        *_from_mlflow(settings, mlflow, anywhere),
        *(Flow(source=source, destination=ray, ports=(names.DASHBOARD_PORT,)) for source in submitters),
        *(
            Flow(source=source, destination=dns, ports=DNS_PORTS, protocols=("UDP", "TCP"))
            for source in (ray, mlflow, operator, *submitters)
        ),
    ]
    for client in _clients(settings, anywhere):
        table.append(Flow(source=client, destination=ray, ports=to_ray))
        table.append(Flow(source=client, destination=mlflow, ports=to_mlflow))
    return table


def _to_redis(settings: Settings, ray: Peer, redis: Peer, anywhere: Peer) -> Iterator[Flow]:
    if settings.storage.redis == "external":
        port = int(settings.storage.redis_address.rpartition(":")[2])
        yield Flow(source=ray, destination=anywhere, ports=(port,))
    else:
        yield Flow(source=ray, destination=redis, ports=(names.REDIS_PORT,))


def _from_mlflow(settings: Settings, mlflow: Peer, anywhere: Peer) -> Iterator[Flow]:
    storage = settings.storage
    if storage.mlflow_backend == "postgres":
        yield Flow(source=mlflow, destination=anywhere, ports=(storage.postgres_port,))
    if storage.artifact_root != "volume":
        yield Flow(source=mlflow, destination=anywhere, ports=WEB_PORTS)


def _clients(settings: Settings, anywhere: Peer) -> Iterator[Peer]:
    """Peers outside; a port-forward enters a pod from its own node, which no policy hinders."""
    if settings.access.access == "ingress":
        yield Peer(name="ingress", namespace=settings.access.ingress_namespace, is_ours=False)
    if settings.access.access == "nodePort":
        yield anywhere


def policies(table: Sequence[Flow]) -> dict[tuple[str, str], dict[str, Any]]:
    """Specs of the network policies, by namespace and name."""
    ours = sorted({p for flow in table for p in (flow.source, flow.destination) if p.is_ours}, key=str)
    made: dict[tuple[str, str], dict[str, Any]] = {
        (namespace, "default-deny"): {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        for namespace in sorted({peer.namespace for peer in ours})
    }
    for peer in ours:
        made[peer.namespace, peer.name] = {
            "podSelector": _labels(peer),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [_rule("from", f.source, f) for f in table if f.destination == peer],
            "egress": [_rule("to", f.destination, f) for f in table if f.source == peer],
        }
    return made


def _rule(direction: str, other: Peer, flow: Flow) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if other.namespace:
        selector = {"matchLabels": {labels.NAMESPACE_NAME: other.namespace}}
        rule[direction] = [{"namespaceSelector": selector, "podSelector": _labels(other)}]
        if other.cidr:
            rule[direction].append({"ipBlock": {"cidr": other.cidr}})
    if flow.ports:
        rule["ports"] = [{"port": p, "protocol": kind} for p in flow.ports for kind in flow.protocols]
    return rule


def _labels(peer: Peer) -> dict[str, Any]:
    return {"matchLabels": dict(peer.pods)} if peer.pods else {}


@dataclass(frozen=True, kw_only=True)
class NetworkPoliciesArgs:
    """What the table is computed from."""

    settings: Settings
    namespaces: Namespaces


class NetworkPolicies(pulumi.ComponentResource):
    """The flows, as objects of the cluster."""

    def __init__(self, name: str, args: NetworkPoliciesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:NetworkPolicies", name, None, opts)
        namespace = args.settings.cluster.namespace
        made = {
            namespace: args.namespaces.workloads,
            names.operator_namespace(namespace): args.namespaces.operator,
        }
        spec: Any  # plain data, in the API's own words
        for (place, policy), spec in policies(flows(args.settings)).items():
            metadata: Any = {
                "name": policy,
                "namespace": made[place],
                "labels": labels.of(names.PART_OF),
            }
            networking.v1.NetworkPolicy(
                f"{name}-{policy}-{place}",
                metadata=metadata,
                spec=spec,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
