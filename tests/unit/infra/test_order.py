"""What must be there before what; a destroy goes the other way."""

import pytest

from tests.support.engine import Record, Registered, object_name
from tests.support.program import SUPPLIED, Program

SERVICE = "kubernetes:ray.io/v1:RayService"
RELEASE = "kubernetes:helm.sh/v3:Release"
CRD = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"


def needed(record: Record, resource: Registered) -> set[str]:
    return {f"{record.resources[urn].type} {record.resources[urn].name}" for urn in record.needs(resource.urn)}


@pytest.mark.parametrize(
    "before",
    [
        "kubernetes:helm.sh/v3:Release kuberay-operator-release",
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition kuberay-operator-crd-rayservices.ray.io",
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition kuberay-operator-crd-rayclusters.ray.io",
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
def test_the_ray_service_comes_after_and_goes_before(program: Program, before: str) -> None:
    record = program.deploy()

    assert before in needed(record, record.one(SERVICE))


@pytest.mark.parametrize(
    "before",
    [
        "kubernetes:helm.sh/v3:Release kuberay-operator-release",
        "kubernetes:apps/v1:StatefulSet redis-server",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy network-policies-redis-manta",
    ],
)
def test_what_takes_a_ray_cluster_down_outlives_those_that_the_stack_does_not_know(
    program: Program, before: str
) -> None:
    record = program.deploy()

    assert before in needed(record, record.one("command:local:Command", "leftovers-delete"))


def test_the_operator_is_installed_after_its_crds(program: Program) -> None:
    record = program.deploy()

    before = needed(record, record.one(RELEASE, "kuberay-operator-release"))

    assert {f"{CRD} {one.name}" for one in record.of_type(CRD)} <= before


def test_mlflow_is_installed_after_its_secret_and_its_volume(program: Program) -> None:
    record = program.deploy()

    before = needed(record, record.one(RELEASE, "mlflow-release"))

    assert {
        "kubernetes:core/v1:Secret mlflow-secret",
        "kubernetes:core/v1:PersistentVolumeClaim mlflow-volume",
    } <= before


def test_mlflow_is_installed_after_the_supplied_postgres_secret(program: Program) -> None:
    record = program.deploy("prod", **SUPPLIED)

    before = needed(record, record.one(RELEASE, "mlflow-release"))

    assert "kubernetes:core/v1:Secret mlflow-postgres" in before


def test_redis_starts_after_its_secret(program: Program) -> None:
    record = program.deploy()

    before = needed(record, record.one("kubernetes:apps/v1:StatefulSet"))

    assert "kubernetes:core/v1:Secret redis-secret" in before


def test_an_ingress_comes_after_what_it_leads_to(program: Program) -> None:
    record = program.deploy("prod")

    for ingress in record.of_type("kubernetes:networking.k8s.io/v1:Ingress"):
        before = needed(record, ingress)
        assert f"{SERVICE} ray-service" in before
        assert f"{RELEASE} mlflow-release" in before


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_object_comes_after_the_namespace_that_it_lies_in(program: Program, stack: str) -> None:
    record = program.deploy(stack)
    namespaces = {object_name(one): one.urn for one in record.of_type("kubernetes:core/v1:Namespace")}

    for one in record.resources.values():
        place = (one.inputs.get("metadata") or one.inputs).get("namespace")
        if one.type.startswith("kubernetes:") and place:
            assert namespaces[place] in record.needs(one.urn), one.name


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_object_is_made_by_a_provider_of_the_guarded_context(program: Program, stack: str) -> None:
    record = program.deploy(stack)

    for one in record.resources.values():
        if one.type.startswith("kubernetes:"):
            expected = "cluster-namespaces" if one.type == "kubernetes:core/v1:Namespace" else "cluster"
            assert one.provider.split("::")[-2] == expected, one.name


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_resource_lies_in_a_component_but_the_providers(program: Program, stack: str) -> None:
    record = program.deploy(stack)

    outside = {one.name for one in record.resources.values() if one.parent.endswith("::manta-test")}

    assert outside == {
        *("cluster", "cluster-namespaces", "ray-image", "mlflow-image"),
        *("namespaces", "network-policies", "kuberay-operator"),
        *("redis", "mlflow", "leftovers", "ray", "access", "schedule"),
    }
