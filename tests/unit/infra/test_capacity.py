"""Resource requests of the local stack: they fit on the documented Minikube, including an upgrade."""

from decimal import Decimal

from infra.config.quantities import value
from tests.support.json_object import JsonObject
from tests.support.program import Program

NODE = {"cpu": Decimal(4), "memory": value("8Gi")}
SYSTEM = {"cpu": Decimal("0.85"), "memory": value("1Gi")}
"""Resources of Minikube's system pods and of the kubelet."""


def requested(container: JsonObject, kind: str) -> Decimal:
    return value(str(container["resources"]["requests"][kind]))


def test_two_ray_clusters_and_everything_else_fit_on_four_cpus_and_eight_gibibytes(program: Program) -> None:
    record = program.deploy()
    cluster = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    head = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]
    worker = cluster["workerGroupSpecs"][0]
    redis = record.resource("kubernetes:apps/v1:StatefulSet").inputs["spec"]["template"]["spec"]["containers"][0]
    releases = [resource.inputs["values"] for resource in record.of_type("kubernetes:helm.sh/v3:Release")]

    for kind in ("cpu", "memory"):
        pod = requested(worker["template"]["spec"]["containers"][0], kind)
        head_pod = requested(head, kind) + requested(cluster["autoscalerOptions"], kind)
        running = head_pod + worker["maxReplicas"] * pod
        upgrading = head_pod + worker["replicas"] * pod
        other_pods = requested(redis, kind) + sum(requested(values, kind) for values in releases)
        assert running + upgrading + other_pods <= NODE[kind] - SYSTEM[kind], kind
