"""Validation and admission by the API server of every object that the program registers."""

import pytest

from tests.support.engine import Record
from tests.support.json_object import JsonObject
from tests.support.kubernetes import Api
from tests.support.program import Program


def pod(name: str, namespace: str, template: JsonObject) -> JsonObject:
    """Pod that a controller would create from a template, without its ServiceAccount, which no dry run creates."""
    metadata = template["metadata"] | {"name": name, "namespace": namespace}
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_every_object_is_accepted_without_a_warning(api: Api, record: Record) -> None:
    objects = [resource.inputs for resource in record.objects()]

    assert len(objects) >= 15
    assert api.problems(objects) == []


def test_the_crds_are_accepted_over_existing_crds(api: Api, program: Program, record: Record) -> None:
    crds = program.crds(record)

    assert len(crds) == 4
    assert api.problems(crds) == []


def test_the_pods_of_ray_redis_and_the_schedule_pass_admission(api: Api, record: Record) -> None:
    service = record.resource("kubernetes:ray.io/v1:RayService").inputs
    namespace = service["metadata"]["namespace"]
    cluster = service["spec"]["rayClusterConfig"]
    redis = record.resource("kubernetes:apps/v1:StatefulSet").inputs["spec"]["template"]
    schedule = record.resource("kubernetes:batch/v1:CronJob").inputs["spec"]["jobTemplate"]["spec"]["template"]
    pods = [
        pod("head", namespace, cluster["headGroupSpec"]["template"]),
        pod("worker", namespace, cluster["workerGroupSpecs"][0]["template"]),
        pod("redis", namespace, redis),
        pod("schedule", namespace, schedule),
    ]

    assert api.problems(pods) == []


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("securityContext", "allowPrivilegeEscalation"), True, "violates PodSecurity"),
        (("resources", "requests", "cpu"), "64", "must be less than or equal to cpu limit"),
        (("imagePullPolice",), "Always", "unknown field"),
    ],
)
def test_an_invalid_pod_is_refused(
    api: Api, record: Record, path: tuple[str, ...], value: object, message: str
) -> None:
    service = record.resource("kubernetes:ray.io/v1:RayService").inputs
    template = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]
    fields = template["spec"]["containers"][0]
    for key in path[:-1]:
        fields = fields[key]
    fields[path[-1]] = value

    assert message in "\n".join(api.problems([pod("wrong", service["metadata"]["namespace"], template)]))


def test_a_misspelled_field_of_the_ray_service_is_refused(api: Api, record: Record) -> None:
    service = record.resource("kubernetes:ray.io/v1:RayService").inputs
    service["spec"]["upgradeStrategie"] = {"type": "NewCluster"}

    assert "upgradeStrategie" in "\n".join(api.problems([service]))
