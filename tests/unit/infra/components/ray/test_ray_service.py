"""The RayService: what was seen to matter on a live cluster."""

import json
from typing import Any

import pytest
import yaml

from infra.config import quantities
from tests.support import crds
from tests.support.engine import Registered
from tests.support.program import OTHER_NAMES, SECRETS, Program

KIND = "kubernetes:ray.io/v1:RayService"


def service(program: Program, stack: str = "dev", **changes: object) -> Registered:
    return program.deploy(stack, **changes).one(KIND)


def cluster(program: Program, stack: str = "dev", **changes: object) -> dict[str, Any]:
    spec: dict[str, Any] = service(program, stack, **changes).inputs["spec"]["rayClusterConfig"]
    return spec


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"]["spec"]["containers"][0] for group in groups]


@crds.needed
@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_resource_is_one_that_kuberays_schema_accepts(program: Program, stack: str) -> None:
    inputs = service(program, stack).inputs

    assert crds.problems(inputs) == []


def test_an_update_is_awaited_until_the_new_cluster_serves(program: Program) -> None:
    annotations = service(program).inputs["metadata"]["annotations"]

    assert json.loads(annotations["pulumi.com/waitFor"]) == [
        "condition=Ready",
        "condition=UpgradeInProgress=False",
    ]


@pytest.mark.parametrize(("stack", "sizes"), [("dev", {}), ("prod", {}), ("dev", {"memory": "3000Mi", "cpus": 3})])
def test_sizes_are_spelled_as_the_operator_writes_them_back(
    program: Program, stack: str, sizes: dict[str, object]
) -> None:
    spec = cluster(program, stack, **sizes)

    given = [amount for one in containers(spec) for kind in one["resources"].values() for amount in kind.values()]
    options = spec["autoscalerOptions"]["resources"]
    given += [amount for kind in options.values() for amount in kind.values()]
    assert len(given) == 12
    assert given == [quantities.canonical(str(amount)) for amount in given]


def test_a_second_update_takes_back_the_fields_that_the_operator_wrote(program: Program) -> None:
    assert service(program).inputs["metadata"]["annotations"]["pulumi.com/patchForce"] == "true"


def test_a_destroy_does_not_wait_in_the_foreground_and_bounds_the_clean_up(program: Program) -> None:
    annotations = service(program).inputs["metadata"]["annotations"]

    assert annotations["pulumi.com/deletionPropagationPolicy"] == "background"
    assert annotations["ray.io/gcs-ft-deletion-timeout"] == "300"


def test_pulumi_waits_half_an_hour_for_images_and_nodes(program: Program) -> None:
    assert service(program).timeouts == ("30m", "30m", "30m")


def test_tokens_guard_the_dashboard_and_every_container_says_so(program: Program) -> None:
    spec = cluster(program)

    assert spec["authOptions"] == {"mode": "token", "secretName": "ray-auth"}
    for container in containers(spec):
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]


def test_every_container_runs_unprivileged(program: Program) -> None:
    spec = cluster(program)

    expected = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["autoscalerOptions"]["securityContext"] == expected
    for container in containers(spec):
        assert container["securityContext"] == expected
        assert {"name": "HOME", "value": "/tmp"} in container["env"]  # noqa: S108
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert group["template"]["spec"]["securityContext"]["runAsUser"] == 1000


def test_serve_answers_through_ha_proxy_on_one_thread(program: Program) -> None:
    for container in containers(cluster(program)):
        assert {"name": "RAY_SERVE_ENABLE_HA_PROXY", "value": "1"} in container["env"]
        assert {"name": "RAY_SERVE_HAPROXY_METRICS_ENABLED", "value": "0"} in container["env"]
        assert {"name": "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "value": "0"} in container["env"]
        assert {"name": "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S", "value": "30"} in container["env"]
        middlewares = {
            "name": "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH",
            "value": "app.serving.middleware:middlewares",
        }
        assert middlewares in container["env"]


def test_the_head_runs_nothing_and_serves_nothing_so_that_it_can_be_lost(program: Program) -> None:
    spec = service(program).inputs["spec"]

    assert spec["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["excludeHeadPodFromServeSvc"] is True
    gcs = spec["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert gcs["redisAddress"] == "redis.manta.svc.cluster.local:6379"
    assert gcs["redisPassword"]["valueFrom"]["secretKeyRef"] == {"name": "redis-auth", "key": "password"}
    assert "externalStorageNamespace" not in gcs


def test_the_head_has_the_port_that_makes_kuberay_open_serve(program: Program) -> None:
    ports = containers(cluster(program))[0]["ports"]

    assert {"name": "serve", "containerPort": 8000} in ports
    assert {"name": "dashboard", "containerPort": 8265} in ports


def test_no_two_replicas_share_a_worker(program: Program) -> None:
    config = yaml.safe_load(service(program, "prod").inputs["spec"]["serveConfigV2"])

    deployment = config["applications"][0]["deployments"][0]
    assert deployment["max_replicas_per_node"] == 1
    assert deployment["name"] == "ModelServer"


def test_load_brings_replicas_up_to_the_most_workers(program: Program) -> None:
    config = yaml.safe_load(service(program, "prod").inputs["spec"]["serveConfigV2"])

    deployment = config["applications"][0]["deployments"][0]
    assert deployment["autoscaling_config"] == {"min_replicas": 3, "max_replicas": 10, "target_ongoing_requests": 16}
    assert "num_replicas" not in deployment


def test_replicas_are_a_fixed_number_where_workers_are(program: Program) -> None:
    inputs = service(program, "dev", replicas=2).inputs

    deployment = yaml.safe_load(inputs["spec"]["serveConfigV2"])["applications"][0]["deployments"][0]
    assert deployment["num_replicas"] == 2
    assert "autoscaling_config" not in deployment


def test_a_replica_leaves_cpus_to_training_and_is_never_idle_to_the_autoscaler(program: Program) -> None:
    for stack, cpus in (("dev", 1), ("prod", 4)):
        config = yaml.safe_load(service(program, stack).inputs["spec"]["serveConfigV2"])
        share = config["applications"][0]["deployments"][0]["ray_actor_options"]["num_cpus"]
        assert 0 < share < cpus


def test_the_application_is_told_its_model_and_its_route(program: Program) -> None:
    inputs = service(program, **OTHER_NAMES).inputs

    application = yaml.safe_load(inputs["spec"]["serveConfigV2"])["applications"][0]
    assert application["args"] == {"model_name": "Churn"}
    assert application["route_prefix"] == "/churn"
    assert application["import_path"] == "app.serving.application:build"


def test_workers_are_autoscaled_between_the_bounds_by_version_two(program: Program) -> None:
    spec = cluster(program, "prod")

    group = spec["workerGroupSpecs"][0]
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert (group["minReplicas"], group["replicas"], group["maxReplicas"]) == (2, 3, 10)


def test_a_fixed_number_of_workers_has_no_autoscaler(program: Program) -> None:
    spec = cluster(program, minWorkers=2, maxWorkers=2)

    assert spec["enableInTreeAutoscaling"] is False
    assert "autoscalerOptions" not in spec


def test_cpus_changes_the_workers_cpus_and_the_replicas_share_of_them_alone(program: Program) -> None:
    one, two = service(program, "prod").inputs, service(program, "prod", cpus=8).inputs

    limits = two["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    assert limits["resources"]["limits"]["cpu"] == "8"
    limits["resources"]["limits"]["cpu"] = "4"
    limits["resources"]["requests"]["cpu"] = "4"
    two["spec"]["serveConfigV2"] = two["spec"]["serveConfigV2"].replace("num_cpus: 4.0", "num_cpus: 2.0")
    assert two == one


def test_gpus_are_given_to_workers_and_not_to_the_head(program: Program) -> None:
    head, worker = containers(cluster(program, gpus=2))

    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "nvidia.com/gpu" not in head["resources"]["limits"]


@pytest.mark.parametrize(("stack", "keep_s"), [("dev", 15), ("prod", 60)])
def test_a_change_makes_a_new_cluster_and_the_old_one_goes_by_target(program: Program, stack: str, keep_s: int) -> None:
    spec = service(program, stack).inputs["spec"]

    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert spec["rayClusterDeletionDelaySeconds"] == keep_s


@pytest.mark.parametrize(("stack", "memory"), [("dev", "1Gi"), ("prod", "16Gi")])
def test_requests_are_half_the_limits_on_one_node_and_all_of_them_in_a_cloud(
    program: Program, stack: str, memory: str
) -> None:
    _, worker = containers(cluster(program, stack))

    assert worker["resources"]["requests"]["memory"] == memory


@pytest.mark.parametrize(("stack", "reserved"), [("dev", "200m"), ("prod", "2")])
def test_a_head_that_is_busy_only_while_it_starts_reserves_little_on_one_node(
    program: Program, stack: str, reserved: str
) -> None:
    head, _ = containers(cluster(program, stack))

    assert head["resources"]["requests"]["cpu"] == reserved


def test_an_upgrade_waits_until_the_workers_take_requests(program: Program) -> None:
    config = yaml.safe_load(service(program).inputs["spec"]["serveConfigV2"])

    waiting = config["applications"][1]
    assert waiting["import_path"] == "app.serving.upgrade_barrier:build"
    assert waiting["route_prefix"] is None
    assert waiting["args"] == {"port": config["http_options"]["port"]}


@pytest.mark.parametrize("secret", ["ray-auth", "serve-auth", "redis-auth", "mlflow-auth"])
def test_a_changed_secret_restarts_the_pods_that_read_it(program: Program, secret: str) -> None:
    before, after = cluster(program), cluster(program, **SECRETS)

    for group in ("headGroupSpec", "workerGroupSpecs"):
        old, new = (
            (spec[group][0] if isinstance(spec[group], list) else spec[group])["template"]["metadata"]
            for spec in (before, after)
        )
        name = f"manta/{secret}-checksum"
        assert old["annotations"][name] != new["annotations"][name]


def test_a_preview_shows_the_spec_although_it_is_computed_from_secrets(program: Program) -> None:
    resource = service(program)

    assert resource.public == resource.inputs


def test_the_app_is_told_where_mlflow_is_and_who_it_is_there(program: Program) -> None:
    env = {entry["name"]: entry for entry in containers(cluster(program, **OTHER_NAMES))[1]["env"]}

    assert env["MLFLOW_TRACKING_URI"]["value"] == "http://mlflow:5000"
    assert env["MANTA_DATASET"]["value"] == "wine"
    assert env["MANTA_MODEL_NAME"]["value"] == "Churn"
    references = {name: entry["valueFrom"]["secretKeyRef"] for name, entry in env.items() if "valueFrom" in entry}
    assert references == {
        "MLFLOW_TRACKING_USERNAME": {"name": "mlflow-auth", "key": "username"},
        "MLFLOW_TRACKING_PASSWORD": {"name": "mlflow-auth", "key": "password"},
        "MANTA_SERVE_TOKENS": {"name": "serve-auth", "key": "tokens"},
    }


def test_serve_gets_its_node_port_from_kuberay_which_moves_it_at_an_upgrade(program: Program) -> None:
    spec = service(program, access="nodePort", host="192.168.49.2").inputs["spec"]

    port = {"name": "serve", "port": 8000, "nodePort": 30800}
    assert spec["serveService"] == {"spec": {"type": "NodePort", "ports": [port]}}


def test_bounds_of_the_workers_make_a_new_cluster_and_replicas_do_not(program: Program) -> None:
    def template(**changes: object) -> object:
        sizes = {"minWorkers": 2, "maxWorkers": 5} | changes
        return cluster(program, "prod", **sizes)["workerGroupSpecs"][0]["template"]

    base = template()
    assert template(replicas=4) == base
    assert template(maxWorkers=6) != base
    assert template(minWorkers=3) != base


def test_a_worker_is_ready_while_serves_proxy_answers_on_it(program: Program) -> None:
    head, worker = containers(cluster(program))

    assert worker["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": 8000}
    assert worker["readinessProbe"]["periodSeconds"] == 1
    assert "readinessProbe" not in head
