"""The order in which Pulumi creates the resources; a destroy uses the reverse order."""

import pytest

from tests.support.engine import Record, RegisteredResource, object_name
from tests.support.program import SUPPLIED, Program

SERVICE = "kubernetes:ray.io/v1:RayService"
RELEASE = "kubernetes:helm.sh/v3:Release"


def prerequisites(record: Record, resource: RegisteredResource) -> set[str]:
    return {f"{record.resources[urn].type} {record.resources[urn].name}" for urn in record.prerequisites(resource.urn)}


@pytest.mark.parametrize(
    "prerequisite",
    [
        "kubernetes:helm.sh/v3:Release kuberay-operator-release",
        "command:local:Command kuberay-operator-crds",
        "kubernetes:apps/v1:StatefulSet redis-server",
        "kubernetes:core/v1:Service redis-service",
        "kubernetes:core/v1:Secret redis-secret",
        "kubernetes:core/v1:Secret ray-ray-secret",
        "kubernetes:core/v1:Secret ray-serve-secret",
        "kubernetes:core/v1:Secret mlflow-secret",
        "kubernetes:helm.sh/v3:Release mlflow-release",
        "kubernetes:core/v1:Namespace namespaces-workloads",
        "kubernetes:core/v1:Namespace namespaces-operator",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy network-policies-redis-manta",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy network-policies-operator-manta-operator",
        "command:local:Command leftovers-delete",
    ],
)
def test_the_ray_service_is_created_after_and_deleted_before(program: Program, prerequisite: str) -> None:
    record = program.deploy()

    assert prerequisite in prerequisites(record, record.resource(SERVICE))


@pytest.mark.parametrize(
    "prerequisite",
    [
        "kubernetes:helm.sh/v3:Release kuberay-operator-release",
        "kubernetes:apps/v1:StatefulSet redis-server",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy network-policies-redis-manta",
    ],
)
def test_what_deletes_a_ray_cluster_outlives_ray_clusters_that_the_state_does_not_contain(
    program: Program, prerequisite: str
) -> None:
    record = program.deploy()

    assert prerequisite in prerequisites(record, record.resource("command:local:Command", "leftovers-delete"))


def test_the_operator_is_installed_after_its_crds(program: Program) -> None:
    record = program.deploy()

    required = prerequisites(record, record.resource(RELEASE, "kuberay-operator-release"))

    assert "command:local:Command kuberay-operator-crds" in required


def test_mlflow_is_installed_after_its_secret_and_its_volume(program: Program) -> None:
    record = program.deploy()

    required = prerequisites(record, record.resource(RELEASE, "mlflow-release"))

    assert {
        "kubernetes:core/v1:Secret mlflow-secret",
        "kubernetes:core/v1:PersistentVolumeClaim mlflow-volume",
    } <= required


def test_mlflow_is_installed_after_the_supplied_postgres_secret(program: Program) -> None:
    record = program.deploy("prod", **SUPPLIED)

    required = prerequisites(record, record.resource(RELEASE, "mlflow-release"))

    assert "kubernetes:core/v1:Secret mlflow-postgres" in required


def test_redis_is_created_after_its_secret(program: Program) -> None:
    record = program.deploy()

    required = prerequisites(record, record.resource("kubernetes:apps/v1:StatefulSet"))

    assert "kubernetes:core/v1:Secret redis-secret" in required


def test_an_ingress_is_created_after_its_services(program: Program) -> None:
    record = program.deploy("prod")

    for ingress in record.of_type("kubernetes:networking.k8s.io/v1:Ingress"):
        required = prerequisites(record, ingress)
        assert f"{SERVICE} ray-service" in required
        assert f"{RELEASE} mlflow-release" in required


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_object_is_created_after_its_namespace(program: Program, stack: str) -> None:
    record = program.deploy(stack, createNamespaces=True)
    namespaces = {object_name(resource): resource.urn for resource in record.of_type("kubernetes:core/v1:Namespace")}

    for resource in record.resources.values():
        namespace = (resource.inputs.get("metadata") or resource.inputs).get("namespace")
        if resource.type.startswith("kubernetes:") and namespace:
            assert namespaces[namespace] in record.prerequisites(resource.urn), resource.name


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_object_uses_a_provider_of_the_checked_context(program: Program, stack: str) -> None:
    record = program.deploy(stack)

    for resource in record.resources.values():
        if resource.type.startswith("kubernetes:"):
            expected = "cluster-namespaces" if resource.type == "kubernetes:core/v1:Namespace" else "cluster"
            assert resource.provider.split("::")[-2] == expected, resource.name


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_only_providers_and_components_have_the_stack_as_their_parent(program: Program, stack: str) -> None:
    record = program.deploy(stack)

    top_level = {resource.name for resource in record.resources.values() if resource.parent.endswith("::manta-test")}

    assert top_level == {
        *("cluster", "cluster-namespaces", "ray-image", "mlflow-image"),
        *("namespaces", "network-policies", "kuberay-operator"),
        *("redis", "mlflow", "leftovers", "ray", "access", "schedule"),
        *("certificate-authorities", "monitoring"),
    }
