"""The flows: what is allowed, and that nothing else is."""

from typing import Any

import pytest

from infra.components.network_policies import Flow, flows, policies
from tests.support.engine import object_name
from tests.support.program import Program, parsed

KIND = "kubernetes:networking.k8s.io/v1:NetworkPolicy"


def shown(stack: str = "dev", **changes: object) -> set[str]:
    return {
        f"{flow.source.name} > {flow.destination.name} {','.join(map(str, flow.ports)) or 'any'}"
        for flow in flows(parsed(stack, **changes))
    }


INSIDE = {
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


def test_the_local_stack_has_the_inner_flows_and_no_other() -> None:
    assert shown() == INSIDE


def test_the_cloud_stack_adds_the_database_the_store_and_the_ingress() -> None:
    assert shown("prod") - INSIDE == {
        "mlflow > anywhere 5432",
        "mlflow > anywhere 443",
        "ingress > ray 8265,8000",
        "ingress > mlflow 5000",
    }


def test_an_external_redis_takes_the_place_of_ours() -> None:
    changed = shown(redis="external", redisAddress="redis.example.com:6380")

    assert changed ^ INSIDE == {"ray > redis 6379", "ray > anywhere 6380"}


def test_node_ports_are_open_to_everybody() -> None:
    assert shown(access="nodePort", host="1.2.3.4") - INSIDE == {
        "anywhere > ray 8265,8000",
        "anywhere > mlflow 5000",
    }


def made(stack: str = "dev", **changes: object) -> dict[tuple[str, str], dict[str, Any]]:
    return policies(flows(parsed(stack, **changes)))


@pytest.mark.parametrize("namespace", ["manta", "manta-operator"])
def test_everything_is_denied_first(namespace: str) -> None:
    assert made()[namespace, "default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_every_end_of_a_flow_that_is_ours_has_its_rule() -> None:
    table, specs = flows(parsed("prod")), made("prod")

    def count(peer: Any, direction: str) -> int:  # noqa: ANN401
        return len(specs[peer.namespace, peer.name][direction])

    for peer in {end for flow in table for end in (flow.source, flow.destination) if end.is_ours}:
        assert count(peer, "egress") == sum(flow.source == peer for flow in table)
        assert count(peer, "ingress") == sum(flow.destination == peer for flow in table)


def test_redis_listens_to_ray_alone_and_calls_nobody() -> None:
    ray = {"app.kubernetes.io/component": "ray", "app.kubernetes.io/part-of": "manta"}
    namespace = {"matchLabels": {"kubernetes.io/metadata.name": "manta"}}

    spec = made()["manta", "redis"]

    assert spec["egress"] == []
    assert spec["ingress"] == [
        {
            "from": [{"namespaceSelector": namespace, "podSelector": {"matchLabels": ray}}],
            "ports": [{"port": 6379, "protocol": "TCP"}],
        }
    ]


def test_names_are_resolved_over_both_protocols_and_by_a_nodes_cache() -> None:
    rule = next(r for r in made()["manta", "mlflow"]["egress"] if {"port": 53, "protocol": "UDP"} in r["ports"])

    assert {"port": 53, "protocol": "TCP"} in rule["ports"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]


def test_the_selected_pods_carry_the_labels_that_select_them(program: Program) -> None:
    record = program.deploy()
    cluster = record.one("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    redis = record.one("kubernetes:apps/v1:StatefulSet").inputs["spec"]
    labels = {
        "redis": [redis["template"]["metadata"]["labels"], redis["selector"]["matchLabels"]],
        "ray": [
            group["template"]["metadata"]["labels"]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        ],
        "mlflow": [record.one("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]["extraPodLabels"]],
    }

    for name, pods in labels.items():
        selector = made()["manta", name]["podSelector"]["matchLabels"]
        for pod in pods:
            assert selector.items() <= pod.items(), name


def test_all_policies_are_registered(program: Program) -> None:
    registered = {
        (one.inputs["metadata"]["namespace"], object_name(one)): one.inputs["spec"]
        for one in program.deploy("prod").of_type(KIND)
    }

    assert registered == made("prod")


def test_a_flow_without_ports_is_a_flow_on_all_of_them() -> None:
    table: list[Flow] = flows(parsed())
    ray = next(flow for flow in table if flow.source.name == flow.destination.name == "ray")

    assert ray.ports == ()
    assert "ports" not in made()["manta", "ray"]["ingress"][0]
