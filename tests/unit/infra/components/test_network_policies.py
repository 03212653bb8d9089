"""Network policies: which flows they allow, and that they deny all other traffic."""

import pytest

from infra.components.network_policies import Peer, policies
from tests.support.engine import object_name
from tests.support.json_object import JsonObject
from tests.support.program import Program, flows_of

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


def test_dns_is_allowed_over_both_protocols_and_to_the_cache_of_the_node(program: Program) -> None:
    egress = specs(program)["manta", "mlflow"]["egress"]

    dns = next(rule for rule in egress if {"port": 53, "protocol": "UDP"} in rule["ports"])
    assert {"port": 53, "protocol": "TCP"} in dns["ports"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in dns["to"]


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
