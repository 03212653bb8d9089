"""Worker groups: the workers that serve, those that train, and further ones."""

import json

import pytest
import yaml

from infra.config.settings import SettingsError
from tests.support import crds
from tests.support.json_object import JsonObject
from tests.support.program import Program, parsed

GPU_GROUP: JsonObject = {
    "name": "gpu",
    "cpus": 8,
    "memory": "32Gi",
    "gpus": 1,
    "maxWorkers": 4,
    "spot": True,
    "image": "registry.example.com/manta-ray-gpu:1",
    "scheduling": {"nodeSelector": {"pool": "gpu"}},
}


def service(program: Program, **changes: object) -> JsonObject:
    spec: JsonObject = program.deploy(**changes).resource("kubernetes:ray.io/v1:RayService").inputs
    return spec


def groups(program: Program, **changes: object) -> dict[str, JsonObject]:
    specs = service(program, **changes)["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return {group["groupName"]: group for group in specs}


def deployment(program: Program, **changes: object) -> JsonObject:
    config = yaml.safe_load(service(program, **changes)["spec"]["serveConfigV2"])
    options: JsonObject = config["applications"][0]["deployments"][0]["ray_actor_options"]
    return options


def test_without_train_workers_jobs_share_the_workers_that_serve(program: Program) -> None:
    assert list(groups(program)) == ["workers"]
    assert groups(program)["workers"].get("rayStartParams", {}) == {}
    assert deployment(program) == {"num_cpus": 0.5}


def test_with_train_workers_the_workers_that_serve_offer_no_cpu_to_jobs(program: Program) -> None:
    apart = groups(program, trainWorkers=3, cpus=4, memory="8Gi")

    start = apart["workers"]["rayStartParams"]
    assert start["num-cpus"] == "0"
    assert json.loads(json.loads(start["resources"])) == {"replica": 2}
    assert deployment(program, trainWorkers=3, cpus=4, memory="8Gi") == {"num_cpus": 0, "resources": {"replica": 1}}
    train = apart["train"]
    assert (train["minReplicas"], train["replicas"], train["maxReplicas"]) == (0, 0, 3)
    assert train.get("rayStartParams", {}) == {}
    limits = train["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["cpu"], limits["memory"]) == ("4", "8Gi")


def test_workers_that_train_have_their_own_size(program: Program) -> None:
    train = groups(program, trainWorkers=2, trainMinWorkers=1, trainCpus=8, trainMemory="16Gi")["train"]

    limits = train["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert (limits["cpu"], limits["memory"], train["replicas"]) == ("8", "16Gi", 1)


def test_a_further_group_has_its_size_image_gpus_and_nodes(program: Program) -> None:
    changes = {"workerGroups": [GPU_GROUP], "scheduling": {"workers": {"priorityClassName": "jobs"}}}

    group = groups(program, **changes)["gpu"]

    pod = group["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"}
    assert pod["containers"][0]["image"] == GPU_GROUP["image"]
    assert (pod["nodeSelector"], pod["priorityClassName"]) == ({"pool": "gpu"}, "jobs")
    tolerated = {toleration["key"] for toleration in pod["tolerations"]}
    assert tolerated == {"nvidia.com/gpu", "cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority"}


def test_a_group_that_can_grow_needs_the_autoscaler(program: Program) -> None:
    fixed = {"minWorkers": 1, "maxWorkers": 1}

    assert not service(program, **fixed)["spec"]["rayClusterConfig"]["enableInTreeAutoscaling"]
    assert service(program, **fixed, trainWorkers=1)["spec"]["rayClusterConfig"]["enableInTreeAutoscaling"]


@crds.needed
def test_kuberays_schema_accepts_every_group(program: Program) -> None:
    assert crds.problems(service(program, trainWorkers=2, workerGroups=[GPU_GROUP])) == []


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"trainMinWorkers": 2}, "pulumi config set trainWorkers 2"),
        ({"trainWorkers": 1, "trainMemory": "1Gi"}, "pulumi config set trainMemory 1536Mi"),
        ({"trainWorkers": -1}, "pulumi config set trainWorkers 0"),
        ({"workerGroups": [{"name": "train"}]}, "pulumi config set --path 'workerGroups[0].name' jobs-0"),
        (
            {"workerGroups": [{"name": "gpu", "minWorkers": 3}]},
            "pulumi config set --path 'workerGroups[0].maxWorkers' 3",
        ),
        ({"workerGroups": [{"name": "GPU"}]}, "pulumi config rm workerGroups"),
    ],
)
def test_a_wrong_group_is_refused_with_the_command_that_corrects_it(changes: dict[str, object], command: str) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(**changes)

    assert command in str(error.value)
