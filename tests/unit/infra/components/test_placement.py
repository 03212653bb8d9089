"""`scheduling`: its fields reach the pods of each part, and its mistakes are refused."""

import pytest

from infra.components import placement
from infra.config.scheduling import Placement, Toleration
from infra.config.settings import SettingsError
from tests.support import crds
from tests.support.engine import Record
from tests.support.json_object import JsonObject
from tests.support.program import Program, parsed

SPOT: JsonObject = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}
PLACE: JsonObject = {
    "nodeSelector": {"pool": "ml"},
    "tolerations": [SPOT],
    "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "priorityClassName": "business",
    "labels": {"team": "risk", "cost-center": "42"},
    "annotations": {"example.com/owner": "risk"},
    "env": {"TZ": "Europe/Berlin"},
    "ephemeralStorage": "2Gi",
}
EVERYWHERE: dict[str, object] = {"scheduling": {"all": PLACE}, "trainSchedule": "@daily"}


def templates(record: Record) -> dict[str, JsonObject]:
    """Pod template of each part that the program registers by itself."""
    cluster = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    job = record.resource("kubernetes:batch/v1:CronJob").inputs["spec"]["jobTemplate"]
    return {
        "head": cluster["headGroupSpec"]["template"],
        "workers": cluster["workerGroupSpecs"][0]["template"],
        "redis": record.resource("kubernetes:apps/v1:StatefulSet").inputs["spec"]["template"],
        "jobs": job["spec"]["template"],
    }


def chart_values(record: Record, release: str) -> JsonObject:
    values: JsonObject = record.resource("kubernetes:helm.sh/v3:Release", release).inputs["values"]
    return values


@pytest.mark.parametrize("part", ["head", "workers", "redis", "jobs"])
def test_the_fields_for_all_parts_reach_the_pods(program: Program, part: str) -> None:
    template = templates(program.deploy(**EVERYWHERE))[part]

    spec, metadata, container = template["spec"], template["metadata"], template["spec"]["containers"][0]
    for field in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert spec[field] == PLACE[field]
    assert PLACE["labels"].items() <= metadata["labels"].items()
    assert metadata["labels"]["app.kubernetes.io/part-of"] == "manta"
    assert PLACE["annotations"].items() <= metadata["annotations"].items()
    assert {"name": "TZ", "value": "Europe/Berlin"} in container["env"]
    assert container["resources"]["requests"]["ephemeral-storage"] == "2Gi"
    assert container["resources"]["limits"]["ephemeral-storage"] == "2Gi"


@pytest.mark.parametrize(
    ("release", "labels", "annotations"),
    [("mlflow-release", "extraPodLabels", "podAnnotations"), ("kuberay-operator-release", "labels", "annotations")],
)
def test_the_fields_for_all_parts_reach_the_charts(
    program: Program, release: str, labels: str, annotations: str
) -> None:
    values = chart_values(program.deploy(**EVERYWHERE), release)

    for field in ("nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert values[field] == PLACE[field]
    assert PLACE["labels"].items() <= values[labels].items()
    assert PLACE["annotations"].items() <= values[annotations].items()
    assert values["resources"]["limits"]["ephemeral-storage"] == "2Gi"


def test_the_fields_of_a_part_extend_those_for_all_parts(program: Program) -> None:
    scheduling = {
        "all": {"nodeSelector": {"pool": "ml"}, "priorityClassName": "low"},
        "head": {"nodeSelector": {"disk": "ssd"}, "priorityClassName": "high", "runtimeClassName": "gvisor"},
    }

    pods = templates(program.deploy(scheduling=scheduling, trainSchedule="@daily"))

    assert pods["head"]["spec"]["nodeSelector"] == {"pool": "ml", "disk": "ssd"}
    assert pods["head"]["spec"]["priorityClassName"] == "high"
    assert pods["head"]["spec"]["runtimeClassName"] == "gvisor"
    assert pods["workers"]["spec"]["nodeSelector"] == {"pool": "ml"}
    assert pods["workers"]["spec"]["priorityClassName"] == "low"


@crds.needed
def test_kuberays_schema_accepts_every_field(program: Program) -> None:
    service = program.deploy(**EVERYWHERE).resource("kubernetes:ray.io/v1:RayService")

    assert crds.problems(service.inputs) == []


def test_changed_tolerations_change_an_annotation_because_kuberay_ignores_tolerations() -> None:
    one, two = (Placement(tolerations=(Toleration(key=key, operator="Exists"),)) for key in ("spot", "gpu"))

    assert placement.tolerations_digest(Placement()) == {}
    assert placement.tolerations_digest(one) != placement.tolerations_digest(two)


def test_workers_with_gpus_tolerate_the_taint_of_nodes_with_gpus(program: Program) -> None:
    pods = program.deploy(gpus=1).resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]

    gpu = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert pods["workerGroupSpecs"][0]["template"]["spec"]["tolerations"] == [gpu]
    assert "tolerations" not in pods["headGroupSpec"]["template"]["spec"]


def test_an_environment_variable_of_the_configuration_replaces_that_of_the_stack(program: Program) -> None:
    scheduling = {"workers": {"env": {"RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "90"}}}

    env = templates(program.deploy(scheduling=scheduling, trainSchedule="@daily"))["workers"]["spec"]["containers"][0][
        "env"
    ]

    assert [entry["value"] for entry in env if entry["name"] == "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S"] == ["90"]


def test_ray_pods_have_time_to_finish_their_requests_and_are_spread_over_zones_and_nodes(program: Program) -> None:
    pods = templates(program.deploy(**EVERYWHERE))

    for part in ("head", "workers"):
        assert pods[part]["spec"]["terminationGracePeriodSeconds"] == 60
        keys = [constraint["topologyKey"] for constraint in pods[part]["spec"]["topologySpreadConstraints"]]
        assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


@pytest.mark.parametrize(
    ("scheduling", "path", "reason"),
    [
        ({"everything": {}}, 'scheduling["everything"]', "Input should be 'all'"),
        ({"head": {"nodeSelectors": {}}}, 'scheduling["head"]["nodeSelectors"]', "Extra inputs are not permitted"),
        (
            {"head": {"tolerations": [{"key": "a", "operator": "Is"}]}},
            'scheduling["head"]["tolerations"][0]["operator"]',
            "Input should be 'Exists' or 'Equal'",
        ),
        ({"all": {"affinity": {"nodeAfinity": {}}}}, 'scheduling["all"]["affinity"]', "nodeAfinity is no affinity"),
        (
            {"all": {"labels": {"app.kubernetes.io/component": "x"}}},
            'scheduling["all"]["labels"]["app.kubernetes.io/component"]',
            "is reserved",
        ),
        ({"all": {"env": {"MANTA_DATASET": "x"}}}, 'scheduling["all"]["env"]["MANTA_DATASET"]', "is reserved"),
        ({"all": {"ephemeralStorage": "2GB"}}, 'scheduling["all"]["ephemeralStorage"]', "not a Kubernetes quantity"),
    ],
)
def test_a_mistake_is_refused_with_its_path_and_the_command_that_removes_it(
    scheduling: JsonObject, path: str, reason: str
) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(scheduling=scheduling)

    assert f"manta:{path}: " in str(error.value)
    assert reason in str(error.value)
    assert f"pulumi config rm --path '{path}'" in str(error.value)
