"""The fields of the RayService that a real cluster depends on."""

import json

import pytest

from infra.components.ray import haproxy_errors
from infra.config import quantities
from tests.support import crds
from tests.support.engine import RegisteredResource, object_name
from tests.support.json_object import JsonObject
from tests.support.program import OTHER_NAMES, SECRETS, Program

RAY_SERVICE = "kubernetes:ray.io/v1:RayService"


def service(program: Program, stack: str = "dev", **changes: object) -> RegisteredResource:
    return program.deploy(stack, **changes).resource(RAY_SERVICE)


def cluster(program: Program, stack: str = "dev", **changes: object) -> JsonObject:
    spec: JsonObject = service(program, stack, **changes).inputs["spec"]["rayClusterConfig"]
    return spec


def containers(spec: JsonObject) -> list[JsonObject]:
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"]["spec"]["containers"][0] for group in groups]


@crds.needed
@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_kuberays_schema_accepts_the_ray_service(program: Program, stack: str) -> None:
    inputs = service(program, stack).inputs

    assert crds.problems(inputs) == []


def test_pulumi_waits_until_the_new_cluster_serves(program: Program) -> None:
    annotations = service(program).inputs["metadata"]["annotations"]

    assert json.loads(annotations["pulumi.com/waitFor"]) == ["condition=Ready", "condition=UpgradeInProgress=False"]


@pytest.mark.parametrize(("stack", "sizes"), [("dev", {}), ("prod", {}), ("dev", {"memory": "3000Mi", "cpus": 3})])
def test_quantities_have_the_form_in_which_the_operator_stores_them(
    program: Program, stack: str, sizes: dict[str, object]
) -> None:
    spec = cluster(program, stack, **sizes)

    amounts = [
        amount for container in containers(spec) for kind in container["resources"].values() for amount in kind.values()
    ]
    options = spec["autoscalerOptions"]["resources"]
    amounts += [amount for kind in options.values() for amount in kind.values()]
    assert len(amounts) == 12
    assert amounts == [quantities.canonical(str(amount)) for amount in amounts]


def test_no_variable_has_an_empty_value_which_kuberay_would_delete(program: Program) -> None:
    spec = cluster(program, scheduling={"all": {"env": {"EMPTY": ""}}})

    variables = [variable for container in containers(spec) for variable in container["env"]]
    assert {"name": "EMPTY"} in variables
    assert [variable for variable in variables if variable.get("value") == ""] == []


def test_an_update_may_overwrite_fields_that_the_operator_wrote(program: Program) -> None:
    assert service(program).inputs["metadata"]["annotations"]["pulumi.com/patchForce"] == "true"


def test_a_destroy_deletes_in_the_background_and_limits_the_cleanup_of_redis(program: Program) -> None:
    annotations = service(program).inputs["metadata"]["annotations"]

    assert annotations["pulumi.com/deletionPropagationPolicy"] == "background"
    assert annotations["ray.io/gcs-ft-deletion-timeout"] == "300"


def test_pulumi_waits_30_minutes_for_images_and_nodes(program: Program) -> None:
    assert service(program).timeouts == ("30m", "30m", "30m")


def test_the_dashboard_requires_a_token_and_every_container_uses_token_mode(program: Program) -> None:
    spec = cluster(program)

    assert spec["authOptions"]["mode"] == "token"
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
        assert {"name": "HOME", "value": "/tmp"} in container["env"]  # noqa: S108 - a path in the pod
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert group["template"]["spec"]["securityContext"]["runAsUser"] == 1000


def test_serve_runs_behind_haproxy_and_handles_requests_on_one_thread(program: Program) -> None:
    for container in containers(cluster(program)):
        assert {"name": "RAY_SERVE_ENABLE_HA_PROXY", "value": "1"} in container["env"]
        assert {"name": "RAY_SERVE_HAPROXY_METRICS_ENABLED", "value": "0"} in container["env"]
        assert {"name": "RAY_SERVE_HAPROXY_NBTHREAD", "value": "1"} in container["env"]
        assert {"name": "RAY_USE_UVLOOP", "value": "0"} in container["env"]
        assert {"name": "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "value": "0"} in container["env"]
        assert {"name": "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S", "value": "40"} in container["env"]
        errors = {"name": haproxy_errors.VARIABLE, "value": haproxy_errors.balance_setting()}
        assert errors in container["env"]
        middlewares = {
            "name": "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH",
            "value": "app.serving.middleware:middlewares",
        }
        assert middlewares in container["env"]


def test_the_head_runs_no_replica_and_keeps_its_state_in_redis(program: Program) -> None:
    spec = service(program).inputs["spec"]

    assert spec["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["excludeHeadPodFromServeSvc"] is True
    gcs = spec["rayClusterConfig"]["gcsFaultToleranceOptions"]
    assert gcs["redisAddress"] == "redis.manta.svc.cluster.local:6379"
    assert gcs["redisPassword"]["valueFrom"]["secretKeyRef"] == {"name": "redis-auth", "key": "password"}
    assert "externalStorageNamespace" not in gcs


def test_the_head_has_the_port_for_which_kuberay_creates_the_serve_service(program: Program) -> None:
    ports = containers(cluster(program))[0]["ports"]

    assert {"name": "serve", "containerPort": 8000} in ports
    assert {"name": "dashboard", "containerPort": 8265} in ports


def test_autoscaler_v2_keeps_the_workers_within_the_bounds(program: Program) -> None:
    spec = cluster(program, "prod")

    group = spec["workerGroupSpecs"][0]
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert (group["minReplicas"], group["replicas"], group["maxReplicas"]) == (2, 3, 10)


def test_a_fixed_number_of_workers_has_no_autoscaler(program: Program) -> None:
    spec = cluster(program, minWorkers=2, maxWorkers=2)

    assert spec["enableInTreeAutoscaling"] is False
    assert "autoscalerOptions" not in spec


def test_cpus_changes_only_the_cpus_of_the_workers_and_the_number_of_replicas_with_their_memory(
    program: Program,
) -> None:
    default, changed = service(program, "prod").inputs, service(program, "prod", cpus=8).inputs

    container = changed["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["cpu"] == "8"
    container["resources"]["limits"]["cpu"] = "4"
    container["resources"]["requests"]["cpu"] = "4"
    for doubled, number in (
        ("min_replicas: 12", "min_replicas: 6"),
        ("max_replicas: 40", "max_replicas: 20"),
        ("max_replicas_per_node: 4", "max_replicas_per_node: 2"),
    ):
        assert doubled in changed["spec"]["serveConfigV2"]
        changed["spec"]["serveConfigV2"] = changed["spec"]["serveConfigV2"].replace(doubled, number)
    for other in (*containers(changed["spec"]["rayClusterConfig"]), *containers(default["spec"]["rayClusterConfig"])):
        [variable] = [variable for variable in other["env"] if variable["name"] == "MANTA_MODELS_MEMORY"]
        other["env"].remove(variable)
    assert changed == default


def test_workers_have_the_gpus_and_the_head_has_none(program: Program) -> None:
    head, worker = containers(cluster(program, gpus=2))

    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "nvidia.com/gpu" not in head["resources"]["limits"]


@pytest.mark.parametrize(("stack", "delay_s"), [("dev", 15), ("prod", 60)])
def test_an_upgrade_starts_a_new_cluster_and_deletes_the_old_cluster_after_a_delay(
    program: Program, stack: str, delay_s: int
) -> None:
    spec = service(program, stack).inputs["spec"]

    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    assert spec["rayClusterDeletionDelaySeconds"] == delay_s


@pytest.mark.parametrize(("stack", "memory"), [("dev", "1Gi"), ("prod", "16Gi")])
def test_requests_are_half_of_the_limits_in_minikube_and_equal_to_them_in_a_cloud(
    program: Program, stack: str, memory: str
) -> None:
    _, worker = containers(cluster(program, stack))

    assert worker["resources"]["requests"]["memory"] == memory


@pytest.mark.parametrize(("stack", "cpu_request"), [("dev", "200m"), ("prod", "2")])
def test_the_head_requests_a_small_share_of_its_cpus_in_minikube(
    program: Program, stack: str, cpu_request: str
) -> None:
    head, _ = containers(cluster(program, stack))

    assert head["resources"]["requests"]["cpu"] == cpu_request


@pytest.mark.parametrize("secret", ["ray-auth", "serve-auth", "redis-auth", "mlflow-client"])
def test_a_changed_secret_restarts_the_pods_that_read_it(program: Program, secret: str) -> None:
    before, after = cluster(program), cluster(program, **SECRETS)

    for group in ("headGroupSpec", "workerGroupSpecs"):
        before_pod, after_pod = (
            (spec[group][0] if isinstance(spec[group], list) else spec[group])["template"]["metadata"]
            for spec in (before, after)
        )
        name = f"manta/{secret}-checksum"
        assert before_pod["annotations"][name] != after_pod["annotations"][name]


def test_a_preview_shows_the_whole_spec_although_checksums_are_computed_from_secrets(program: Program) -> None:
    resource = service(program)

    assert resource.public == resource.inputs


def test_a_stack_can_hide_example_rows(program: Program) -> None:
    record = program.deploy(showExamples=False)

    for container in containers(record.resource(RAY_SERVICE).inputs["spec"]["rayClusterConfig"]):
        assert {"name": "MANTA_SHOW_EXAMPLES", "value": "false"} in container["env"]
    assert record.outputs["showExamples"] is False


def test_a_stack_can_begin_a_rollout_of_each_version_that_passes_its_gate(program: Program) -> None:
    for container in containers(cluster(program, rollout="auto")):
        assert {"name": "MANTA_ROLLOUT", "value": "auto"} in container["env"]


def test_the_replicas_write_json_lines_to_the_output_of_their_pod_on_request(program: Program) -> None:
    silent, json_lines = (cluster(program, logFormat=log_format) for log_format in ("text", "json"))

    assert [entry for entry in containers(silent)[1]["env"] if entry["name"] == "MANTA_JSON_LOG"] == []
    assert {"name": "MANTA_JSON_LOG", "value": "/proc/1/fd/1"} in containers(json_lines)[1]["env"]


def test_the_containers_get_mlflows_address_and_credentials(program: Program) -> None:
    client = object_name(program.deploy(**OTHER_NAMES).resource("kubernetes:core/v1:Secret", "mlflow-client-secret"))
    env = {entry["name"]: entry for entry in containers(cluster(program, **OTHER_NAMES))[1]["env"]}

    assert env["MLFLOW_TRACKING_URI"]["value"] == "http://mlflow:5000"
    assert env["MANTA_DATASET"]["value"] == "wine"
    assert env["MANTA_SHOW_EXAMPLES"]["value"] == "true"
    assert env["MANTA_MODEL_NAME"]["value"] == "Churn"
    references = {name: entry["valueFrom"]["secretKeyRef"] for name, entry in env.items() if "valueFrom" in entry}
    assert references == {
        "MLFLOW_TRACKING_USERNAME": {"name": client, "key": "username"},
        "MLFLOW_TRACKING_PASSWORD": {"name": client, "key": "password"},
        "MANTA_SERVE_TOKENS": {"name": "serve-auth", "key": "tokens"},
    }


def test_kuberays_serve_service_has_the_node_port(program: Program) -> None:
    spec = service(program, access="nodePort", host="192.168.49.2").inputs["spec"]

    port = {"name": "serve", "port": 8000, "nodePort": 30800}
    assert spec["serveService"] == {"spec": {"type": "NodePort", "ports": [port]}}


def test_changed_worker_bounds_start_a_new_cluster_and_changed_replicas_do_not(program: Program) -> None:
    def template(**changes: object) -> object:
        sizes = {"minWorkers": 2, "maxWorkers": 5} | changes
        return cluster(program, "prod", **sizes)["workerGroupSpecs"][0]["template"]

    default = template()
    assert template(replicas=4) == default
    assert template(maxWorkers=6) != default
    assert template(minWorkers=3) != default


def test_a_worker_is_ready_while_serves_proxy_answers(program: Program) -> None:
    head, worker = containers(cluster(program))

    assert worker["readinessProbe"]["httpGet"] == {"path": "/-/healthz", "port": 8000}
    assert worker["readinessProbe"]["periodSeconds"] == 1
    assert "readinessProbe" not in head
