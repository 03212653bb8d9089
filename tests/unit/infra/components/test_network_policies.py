"""Network policies: which flows they allow, and that they deny all other traffic."""

import ipaddress

import pytest

from infra import arguments
from infra.components import network_flows
from infra.components.network_flows import Peer
from infra.components.network_policies import policies
from tests.support.engine import object_name
from tests.support.json_object import JsonObject
from tests.support.program import Program, flows_of, parsed

NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
LOCAL_FLOWS = {
    "ray > ray any",
    "ray > redis 6379",
    "ray > mlflow 5000",
    "ray > anywhere 443,6443,8443",
    "operator > ray 8265,8000",
    "operator > anywhere 443,6443,8443",
    "ray > dns 53",
    "mlflow > dns 53",
    "operator > dns 53",
    "ray > openshift-dns 5353",
    "mlflow > openshift-dns 5353",
    "operator > openshift-dns 5353",
}


def flow_texts(stack: str = "dev", **changes: object) -> set[str]:
    return {
        f"{flow.source.name} > {flow.destination.name} {','.join(map(str, flow.ports)) or 'any'}"
        for flow in flows_of(stack, **changes)
    }


def specs(program: Program, stack: str = "dev") -> dict[tuple[str, str], JsonObject]:
    """Spec of each registered network policy, by namespace and name."""
    return {
        (resource.inputs["metadata"]["namespace"], object_name(resource)): resource.inputs["spec"]
        for resource in program.deploy(stack).of_type(NETWORK_POLICY)
    }


def test_the_local_stack_allows_only_the_flows_inside_the_platform() -> None:
    assert flow_texts() == LOCAL_FLOWS


def test_the_cloud_stack_adds_postgres_the_object_store_and_the_ingress() -> None:
    assert flow_texts("prod") - LOCAL_FLOWS == {
        "mlflow > anywhere 5432",
        "mlflow > anywhere 443",
        "ingress > ray 8265,8000",
        "ingress > mlflow 5000",
    }


def test_an_external_redis_replaces_the_flow_to_the_redis_in_the_cluster() -> None:
    texts = flow_texts(redis="external", redisAddress="redis.example.com:6380")

    assert texts ^ LOCAL_FLOWS == {"ray > redis 6379", "ray > anywhere 6380"}


def test_node_ports_accept_connections_from_any_address() -> None:
    assert flow_texts(access="nodePort", host="1.2.3.4") - LOCAL_FLOWS == {
        "anywhere > ray 8265,8000",
        "anywhere > mlflow 5000",
    }


@pytest.mark.parametrize("namespace", ["manta", "manta-operator"])
def test_a_default_policy_denies_all_traffic_of_each_namespace(program: Program, namespace: str) -> None:
    assert specs(program)[namespace, "default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_each_managed_end_of_a_flow_has_a_rule(program: Program) -> None:
    flows, registered = flows_of("prod"), specs(program, "prod")

    def count(peer: Peer, direction: str) -> int:
        return len(registered[peer.namespace, peer.name][direction])

    for peer in {end for flow in flows for end in (flow.source, flow.destination) if end.is_managed}:
        assert count(peer, "egress") == sum(flow.source == peer for flow in flows)
        assert count(peer, "ingress") == sum(flow.destination == peer for flow in flows)


def test_redis_accepts_connections_from_ray_only_and_opens_none(program: Program) -> None:
    ray = {"app.kubernetes.io/component": "ray", "app.kubernetes.io/part-of": "manta"}
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": "manta"}}

    spec = specs(program)["manta", "redis"]

    assert spec["egress"] == []
    assert spec["ingress"] == [
        {
            "from": [{"namespaceSelector": namespace, "podSelector": {"matchLabels": ray}}],
            "ports": [{"port": 6379, "protocol": "TCP"}],
        }
    ]


def dns_rule(program: Program, **changes: object) -> JsonObject:
    """Rule of MLflow's policy for DNS."""
    policies = {object_name(item): item.inputs["spec"] for item in program.deploy(**changes).of_type(NETWORK_POLICY)}
    rules = policies["mlflow"]["egress"]
    return next(rule for rule in rules if {"port": 53, "protocol": "UDP"} in rule["ports"])


def blocks(rule: JsonObject) -> list[str]:
    return [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]


def test_dns_is_allowed_over_both_protocols_to_the_pods_and_to_every_private_address(program: Program) -> None:
    rule = dns_rule(program)

    assert {"port": 53, "protocol": "TCP"} in rule["ports"]
    assert "kube-system" in str(rule["to"][0]["namespaceSelector"])
    ranges = [ipaddress.ip_network(cidr) for cidr in blocks(rule)]
    for address in ("169.254.20.10", "169.254.169.254", "10.77.0.2", "192.168.1.1", "172.20.0.10", "100.64.0.10"):
        assert any(ipaddress.ip_address(address) in range_ for range_ in ranges), address
    assert not any(ipaddress.ip_address("8.8.8.8") in range_ for range_ in ranges)


def test_dns_cidrs_replace_the_private_addresses(program: Program) -> None:
    assert blocks(dns_rule(program, dnsCidrs=["192.0.2.53/32"])) == ["192.0.2.53/32"]


def test_a_stack_without_network_policies_registers_none(program: Program) -> None:
    assert program.deploy(networkPolicies=False).of_type(NETWORK_POLICY) == []


def test_extra_egress_opens_the_named_ports_of_a_range_for_the_named_pods() -> None:
    rules = [
        {"cidr": "10.1.0.0/16", "ports": [9000, 9001], "from": ["mlflow"]},
        {"cidr": "10.2.0.0/16", "protocol": "UDP"},
    ]

    assert flow_texts(extraEgress=rules) - LOCAL_FLOWS == {
        "mlflow > 10.1.0.0/16 9000,9001",
        "mlflow > 10.2.0.0/16 any",
        "ray > 10.2.0.0/16 any",
    }


def test_extra_egress_reaches_only_its_range(program: Program) -> None:
    rules = [{"cidr": "10.1.0.0/16", "ports": [9000], "from": ["operator"]}]
    policies = {object_name(item): item for item in program.deploy(extraEgress=rules).of_type(NETWORK_POLICY)}

    assert policies["operator"].inputs["spec"]["egress"][-1] == {
        "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        "ports": [{"port": 9000, "protocol": "TCP"}],
    }


def test_a_proxy_is_reached_on_its_port() -> None:
    proxy = {"http": "http://proxy.example.com:3128", "https": "http://proxy.example.com:3128"}

    assert flow_texts(proxy=proxy) - LOCAL_FLOWS == {"ray > anywhere 3128", "mlflow > anywhere 3128"}


def test_the_monitoring_namespace_reads_metrics_and_nothing_else() -> None:
    assert flow_texts(monitoringNamespace="monitoring") - LOCAL_FLOWS == {
        "monitoring > ray 8080,9101,44217,44227",
        "monitoring > mlflow 5000",
        "monitoring > operator 8080",
    }


def test_the_prometheus_of_the_stack_reaches_the_metrics_and_the_api_server_and_only_ray_reaches_it() -> None:
    assert flow_texts(monitoring="install") - LOCAL_FLOWS == {
        "monitoring > ray 8080,9101,44217,44227",
        "monitoring > mlflow 5000",
        "monitoring > operator 8080",
        "monitoring > monitoring any",
        "monitoring > anywhere 443,6443,8443,10250",
        "monitoring > dns 53",
        "monitoring > openshift-dns 5353",
        "ray > monitoring 3000,9090",
    }


def test_clients_reach_the_grafana_of_the_stack_only_if_it_has_a_public_address() -> None:
    install: dict[str, object] = {"monitoring": "install"}
    without = flow_texts("prod", **install)

    published = flow_texts("prod", **install, grafanaUrl="https://grafana.example.com")

    assert published - without == {"ingress > monitoring 3000"}


@pytest.mark.parametrize(
    ("kind", "servers"),
    [
        ("none", []),
        ("eks-pod-identity", [("169.254.170.23/32", 80)]),
        ("gke", [("169.254.169.254/32", 80), ("169.254.169.252/32", 988)]),
    ],
)
def test_pods_with_a_cloud_identity_reach_the_servers_that_give_it(
    program: Program, kind: str, servers: list[tuple[str, int]]
) -> None:
    record = program.deploy("prod", workloadIdentity=kind)
    policies = {object_name(item): item.inputs["spec"] for item in record.of_type(NETWORK_POLICY)}

    for name in ("ray", "mlflow"):
        rules = [rule for rule in policies[name]["egress"] if "'169.254." in str(rule) and len(rule["to"]) == 1]
        assert rules == [
            {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": port, "protocol": "TCP"}]}
            for cidr, port in servers
        ]


def test_mlflow_reaches_the_webhook_of_the_service_only_if_there_is_one() -> None:
    assert flow_texts(webhookSecret="a-secret-of-the-webhook") - LOCAL_FLOWS == {"mlflow > ray 8000"}


def test_mlflow_reaches_the_provider_whose_accounts_sign_in() -> None:
    url = "https://id.example.com:8443/.well-known/openid-configuration"
    oidc = {"discoveryUrl": url, "clientId": "mlflow", "groups": ["ml"]}

    assert flow_texts(mlflowOidc=oidc, mlflowOidcSecret="a-secret") - LOCAL_FLOWS == {"mlflow > anywhere 8443"}


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://otel-collector.monitoring:4318", {"ray > anywhere 4318"}),
        ("http://collector.example.com/otlp", {"ray > anywhere 80"}),
        ("mlflow", set()),
    ],
)
def test_the_replicas_reach_the_receiver_of_traces(endpoint: str, expected: set[str]) -> None:
    assert flow_texts(otlpEndpoint=endpoint) - LOCAL_FLOWS == expected


@pytest.mark.parametrize(("port", "expected"), [(16443, "443,6443,8443,16443"), (6443, "443,6443,8443")])
def test_the_port_of_the_api_server_comes_from_the_kubeconfig(port: int, expected: str) -> None:
    args = arguments.flows(parsed(), port)

    ports = {",".join(map(str, flow.ports)) for flow in network_flows.flows(args) if flow.source.name == "operator"}

    assert expected in ports


def test_the_program_reads_the_port_of_the_api_server(program: Program) -> None:
    record = program.deploy(context="loopback")

    policies = {object_name(item): item.inputs["spec"] for item in record.of_type(NETWORK_POLICY)}
    assert {"port": 16443, "protocol": "TCP"} in policies["operator"]["egress"][1]["ports"]


def test_the_pods_have_the_labels_that_the_policies_select(program: Program) -> None:
    record = program.deploy()
    cluster = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    redis = record.resource("kubernetes:apps/v1:StatefulSet").inputs["spec"]
    pod_labels = {
        "redis": [redis["template"]["metadata"]["labels"], redis["selector"]["matchLabels"]],
        "ray": [
            group["template"]["metadata"]["labels"]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        ],
        "mlflow": [
            record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]["extraPodLabels"]
        ],
    }

    registered = specs(program)

    for name, pods in pod_labels.items():
        selector = registered["manta", name]["podSelector"]["matchLabels"]
        for labels in pods:
            assert selector.items() <= labels.items(), name


def test_the_program_registers_every_policy(program: Program) -> None:
    assert set(specs(program, "prod")) == set(policies(flows_of("prod")))


def test_a_flow_without_ports_allows_every_port(program: Program) -> None:
    ray = next(flow for flow in flows_of() if flow.source.name == flow.destination.name == "ray")

    rule = specs(program)["manta", "ray"]["ingress"][0]

    assert ray.ports == ()
    assert "ports" not in rule


@pytest.mark.parametrize(
    ("endpoint", "port"), [("", 443), ("https://s3.local", 443), ("http://s3.local", 80), ("http://minio:9000", 9000)]
)
def test_mlflow_reaches_the_port_of_its_object_store(endpoint: str, port: int) -> None:
    table = flows_of("prod", artifactEndpoint=endpoint)

    assert (port,) in [flow.ports for flow in table if flow.source.name == "mlflow"]
