"""The API server's judgement of everything that the program registers: validation and admission."""

from typing import Any

import pytest

from tests.support.engine import Record
from tests.support.kubernetes import Api

CRD = "CustomResourceDefinition"


def pod(name: str, namespace: str, template: dict[str, Any]) -> dict[str, Any]:
    """Make the pod that a controller would make of its template."""
    metadata = template["metadata"] | {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_every_object_is_accepted_without_a_warning(api: Api, record: Record) -> None:
    objects = [one.inputs for one in record.objects() if one.inputs["kind"] != CRD]

    assert len(objects) >= 15
    assert api.judge(objects) == []


def test_the_crds_are_accepted_over_those_that_are_there(api: Api, record: Record) -> None:
    crds = [one.inputs for one in record.objects() if one.inputs["kind"] == CRD]

    assert len(crds) == 4
    assert api.judge(crds) == []


def test_the_pods_of_ray_redis_and_the_schedule_pass_admission(api: Api, record: Record) -> None:
    service = record.one("kubernetes:ray.io/v1:RayService").inputs
    namespace = service["metadata"]["namespace"]
    cluster = service["spec"]["rayClusterConfig"]
    redis = record.one("kubernetes:apps/v1:StatefulSet").inputs["spec"]["template"]
    redis["spec"]["volumes"].append({"name": "data", "emptyDir": {}})
    schedule = record.one("kubernetes:batch/v1:CronJob").inputs["spec"]["jobTemplate"]["spec"]["template"]
    pods = [
        pod("head", namespace, cluster["headGroupSpec"]["template"]),
        pod("worker", namespace, cluster["workerGroupSpecs"][0]["template"]),
        pod("redis", namespace, redis),
        pod("schedule", namespace, schedule),
    ]

    assert api.judge(pods) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("securityContext", "allowPrivilegeEscalation"), True, "violates PodSecurity"),
        (("resources", "requests", "cpu"), "64", "must be less than or equal to cpu limit"),
        (("imagePullPolice",), "Always", "unknown field"),
    ],
)
def test_a_pod_that_is_wrong_is_refused(
    api: Api, record: Record, path: tuple[str, ...], value: object, said: str
) -> None:
    service = record.one("kubernetes:ray.io/v1:RayService").inputs
    template = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]
    place = template["spec"]["containers"][0]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    assert said in "\n".join(api.judge([pod("wrong", service["metadata"]["namespace"], template)]))


def test_a_misspelled_field_of_the_ray_service_is_refused(api: Api, record: Record) -> None:
    service = record.one("kubernetes:ray.io/v1:RayService").inputs
    service["spec"]["upgradeStrategie"] = {"type": "NewCluster"}

    assert "upgradeStrategie" in "\n".join(api.judge([service]))
