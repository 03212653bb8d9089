"""The connections that the platform needs, as a table of flows. `network_policies.py` allows exactly these."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infra import labels, names
from infra.config import urls
from infra.config.access_options import AccessOptions
from infra.config.connection_options import ConnectionOptions
from infra.config.credential_options import CredentialOptions
from infra.config.identity_options import IdentityOptions
from infra.config.monitoring_options import MonitoringOptions
from infra.config.network_options import NetworkOptions
from infra.config.options import StorageOptions
from infra.config.sign_in_options import SignInOptions
from infra.config.tracing_options import TracingOptions

API_PORTS: Final = (443, 6443, 8443)
"""Ports of the API server: its Service, kubeadm and Minikube. No selector matches the address of the API server."""
DNS_PORTS: Final = (53,)
OPENSHIFT_DNS_PORTS: Final = (5353,)
"""Port of OpenShift's DNS pods. Policies see the port of a pod, not the port of its Service."""
WEB_PORTS: Final = (443,)
RAY_METRICS_PORTS: Final = (8080, names.HAPROXY_METRICS_PORT, 44217, 44227)
"""Metrics of Ray, HAProxy, the autoscaler and the dashboard."""
OPERATOR_METRICS_PORTS: Final = (8080,)
KUBELET_PORT: Final = 10250
"""Port of the kubelets, from which Prometheus reads the metrics of volumes and containers."""
METADATA_SERVERS: Final = {
    # <https://cloud.google.com/kubernetes-engine/docs/how-to/network-policy>: with and without Dataplane V2.
    "gke": (("169.254.169.254/32", 80), ("169.254.169.252/32", 988)),
    # <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html>.
    "eks-pod-identity": (("169.254.170.23/32", 80),),
}
"""Address and port of the servers from which pods get a cloud identity, by `workloadIdentity`."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One end of a flow: pods, addresses, or both. Without a namespace and addresses it is any address."""

    name: str
    namespace: str = ""
    pods: tuple[tuple[str, str], ...] = ()
    """Labels of the pods; empty means all pods of the namespace."""
    is_managed: bool = True
    """Whether this stack writes a network policy for the peer."""
    cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Connections from one peer to another."""

    source: Peer
    destination: Peer
    ports: tuple[int, ...]
    """Empty means every port."""
    protocols: tuple[str, ...] = ("TCP",)


@dataclass(frozen=True, kw_only=True)
class FlowArgs:
    """What decides which flows the platform needs."""

    namespace: str
    """Namespace of the workloads."""
    operator_namespace: str
    is_operator_shared: bool
    """Whether the operator belongs to the cluster, so that this stack writes no policy for it."""
    storage: StorageOptions
    """Where Ray and MLflow keep their state."""
    connections: ConnectionOptions
    access: AccessOptions
    """How clients outside of the cluster reach the platform."""
    network: NetworkOptions
    monitoring: MonitoringOptions
    monitoring_namespace: str
    """Namespace of Prometheus and Grafana; empty if nothing reads the metrics."""
    tracing: TracingOptions
    identity: IdentityOptions
    credentials: CredentialOptions
    sign_in: SignInOptions
    has_scheduled_jobs: bool
    """Whether a CronJob submits jobs to Ray."""
    api_port: int | None = None
    """Port of the API server in the kubeconfig, if the program knows it before it deploys."""


@dataclass(frozen=True, kw_only=True)
class _Peers:
    """The ends of the flows of one stack."""

    ray: Peer
    redis: Peer
    mlflow: Peer
    operator: Peer
    submitters: tuple[Peer, ...]
    """The CronJob that submits training jobs, if there is one."""
    monitoring: Peer | None
    """Prometheus and Grafana, if something reads the metrics."""

    @property
    def parts(self) -> list[Peer]:
        """The parts of the platform that open connections."""
        monitoring = [self.monitoring] if self.monitoring and self.monitoring.is_managed else []
        return [self.ray, self.mlflow, self.operator, *self.submitters, *monitoring]


ANYWHERE: Final = Peer(name="anywhere", is_managed=False)


def flows(args: FlowArgs) -> list[Flow]:
    """Every flow of the platform."""
    peers = _peers(args)
    api_ports = tuple(sorted({*API_PORTS, *([args.api_port] if args.api_port else [])}))
    to_ray = (names.DASHBOARD_PORT, names.SERVE_PORT)
    to_mlflow = (names.MLFLOW_PORT,)
    table = [
        Flow(source=peers.ray, destination=peers.ray, ports=()),  # Ray picks its ports at run time
        Flow(source=peers.ray, destination=peers.mlflow, ports=to_mlflow),
        Flow(source=peers.ray, destination=ANYWHERE, ports=api_ports),  # the autoscaler, and data sets from URLs
        Flow(source=peers.operator, destination=peers.ray, ports=to_ray),
        Flow(source=peers.operator, destination=ANYWHERE, ports=api_ports),
        _to_redis(args.storage, peers),
        *_from_mlflow(args.storage, args.connections, peers),
        *(Flow(source=peer, destination=peers.ray, ports=(names.DASHBOARD_PORT,)) for peer in peers.submitters),
        *_monitoring(args.monitoring, peers, api_ports),
        *_dns(args.network, peers),
        *_identity(args.identity, peers),
        *_webhook(args.credentials, peers),
        *_sign_in(args.sign_in, peers),
        *_traces(args.tracing, peers),
        *_proxy(args.network, peers),
        *_extra(args.network, peers),
    ]
    return [*table, *_from_clients(args.access, args.monitoring, peers)]


def _peers(args: FlowArgs) -> _Peers:
    ray, redis, mlflow, schedule = (
        Peer(name=name, namespace=args.namespace, pods=tuple(sorted(labels.selector(name).items())))
        for name in (labels.RAY, labels.REDIS, labels.MLFLOW, labels.SCHEDULE)
    )
    return _Peers(
        ray=ray,
        redis=redis,
        mlflow=mlflow,
        operator=Peer(name="operator", namespace=args.operator_namespace, is_managed=not args.is_operator_shared),
        submitters=(schedule,) if args.has_scheduled_jobs else (),
        monitoring=Peer(name="monitoring", namespace=args.monitoring_namespace, is_managed=args.monitoring.is_installed)
        if args.monitoring_namespace
        else None,
    )


def _to_redis(storage: StorageOptions, peers: _Peers) -> Flow:
    if storage.redis == "external":
        port = int(storage.redis_address.rpartition(":")[2])
        return Flow(source=peers.ray, destination=ANYWHERE, ports=(port,))
    return Flow(source=peers.ray, destination=peers.redis, ports=(names.REDIS_PORT,))


def _from_mlflow(storage: StorageOptions, connections: ConnectionOptions, peers: _Peers) -> Iterator[Flow]:
    if storage.mlflow_backend == "postgres":
        yield Flow(source=peers.mlflow, destination=ANYWHERE, ports=(storage.postgres_port,))
    if storage.artifact_root != "volume":
        yield Flow(source=peers.mlflow, destination=ANYWHERE, ports=_store_ports(connections))


def _store_ports(connections: ConnectionOptions) -> tuple[int, ...]:
    if not connections.artifact_endpoint:
        return WEB_PORTS
    return (urls.port(connections.artifact_endpoint),)


def _dns(network: NetworkOptions, peers: _Peers) -> Iterator[Flow]:
    """Requests for names: to DNS pods, and to addresses where DNS runs on the nodes or belongs to the cloud."""
    dns = Peer(name="dns", namespace="kube-system", is_managed=False, cidrs=network.dns_cidrs)
    openshift_dns = Peer(name="openshift-dns", namespace="openshift-dns", is_managed=False)
    protocols = ("UDP", "TCP")
    for source in peers.parts:
        yield Flow(source=source, destination=dns, ports=DNS_PORTS, protocols=protocols)
        yield Flow(source=source, destination=openshift_dns, ports=OPENSHIFT_DNS_PORTS, protocols=protocols)


def _identity(identity: IdentityOptions, peers: _Peers) -> Iterator[Flow]:
    """Servers on the node from which pods get their cloud identity. The other mechanisms use https only."""
    for cidr, port in METADATA_SERVERS.get(identity.workload_identity, ()):
        server = Peer(name="metadata", is_managed=False, cidrs=(cidr,))
        for source in (peers.ray, peers.mlflow):
            yield Flow(source=source, destination=server, ports=(port,))


def _webhook(credentials: CredentialOptions, peers: _Peers) -> Iterator[Flow]:
    """MLflow tells the service about a moved alias."""
    if credentials.webhook_secret.get_secret_value():
        yield Flow(source=peers.mlflow, destination=peers.ray, ports=(names.SERVE_PORT,))


def _sign_in(sign_in: SignInOptions, peers: _Peers) -> Iterator[Flow]:
    """MLflow asks the provider for its keys and for the tokens of people."""
    if sign_in.is_enabled:
        yield Flow(source=peers.mlflow, destination=ANYWHERE, ports=(urls.port(sign_in.mlflow_oidc.discovery_url),))


def _monitoring(options: MonitoringOptions, peers: _Peers, api_ports: tuple[int, ...]) -> Iterator[Flow]:
    """Prometheus reads metrics, and the Ray head asks Prometheus and Grafana for its charts."""
    monitoring = peers.monitoring
    if monitoring is None:
        return
    yield Flow(source=monitoring, destination=peers.ray, ports=RAY_METRICS_PORTS)
    yield Flow(source=monitoring, destination=peers.mlflow, ports=(names.MLFLOW_PORT,))
    yield Flow(source=monitoring, destination=peers.operator, ports=OPERATOR_METRICS_PORTS)
    if options.ports:
        yield Flow(source=peers.ray, destination=monitoring, ports=options.ports)
    if monitoring.is_managed:
        yield Flow(source=monitoring, destination=monitoring, ports=())
        yield Flow(source=monitoring, destination=ANYWHERE, ports=(*api_ports, KUBELET_PORT))


def _traces(tracing: TracingOptions, peers: _Peers) -> Iterator[Flow]:
    """The replicas send traces to a receiver outside of the stack."""
    if tracing.port is not None:
        yield Flow(source=peers.ray, destination=ANYWHERE, ports=(tracing.port,))


def _proxy(network: NetworkOptions, peers: _Peers) -> Iterator[Flow]:
    if network.proxy.ports:
        yield Flow(source=peers.ray, destination=ANYWHERE, ports=network.proxy.ports)
        yield Flow(source=peers.mlflow, destination=ANYWHERE, ports=network.proxy.ports)


def _extra(network: NetworkOptions, peers: _Peers) -> Iterator[Flow]:
    """The flows of `extraEgress`. A rule for a part that does not exist has no effect."""
    sources = {peer.name: peer for peer in peers.parts}
    for rule in network.extra_egress:
        destination = Peer(name=rule.cidr, is_managed=False, cidrs=(rule.cidr,))
        for source in rule.sources:
            if source in sources:
                yield Flow(
                    source=sources[source], destination=destination, ports=rule.ports, protocols=(rule.protocol,)
                )


def _from_clients(access: AccessOptions, monitoring: MonitoringOptions, peers: _Peers) -> Iterator[Flow]:
    """Requests of clients outside of the platform to the services that the stack or its `grafanaUrl` publishes."""
    ports = {"ray": names.DASHBOARD_PORT, "serve": names.SERVE_PORT}
    to_ray = tuple(ports[service] for service in ("ray", "serve") if service in access.publish)
    for client in _clients(access):
        if to_ray:
            yield Flow(source=client, destination=peers.ray, ports=to_ray)
        if "mlflow" in access.publish:
            yield Flow(source=client, destination=peers.mlflow, ports=(names.MLFLOW_PORT,))
        if peers.monitoring and monitoring.has_own_grafana and monitoring.grafana_url:
            yield Flow(source=client, destination=peers.monitoring, ports=(names.GRAFANA_POD_PORT,))


def _clients(access: AccessOptions) -> Iterator[Peer]:
    """Peers outside of the platform. A port-forward enters a pod from its node, which no policy blocks."""
    if access.access == "port-forward":
        return
    if access.access in ("ingress", "gateway"):
        yield Peer(name="ingress", namespace=access.ingress_namespace, is_managed=False)
    if access.access_cidrs:
        yield Peer(name="clients", cidrs=access.access_cidrs, is_managed=False)
    elif access.access in ("nodePort", "loadBalancer"):
        yield ANYWHERE
