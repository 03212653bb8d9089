"""The registered resources of namespaces, operator, Redis and access."""

import pytest
import yaml

from infra.charts import ChartError
from infra.config.vocabulary import SECRET_MIN_LENGTH
from tests.support.engine import object_name
from tests.support.program import CRDS, Program, crd

COMMAND = "command:local:Command"
CRDS_COMMAND = "kuberay-operator-crds"
RELEASE = "kubernetes:helm.sh/v3:Release"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
SERVICE = "kubernetes:core/v1:Service"


def test_both_namespaces_enforce_pod_security_restricted(program: Program) -> None:
    namespaces = program.deploy().of_type("kubernetes:core/v1:Namespace")

    assert {object_name(resource) for resource in namespaces} == {"manta", "manta-operator"}
    for resource in namespaces:
        assert resource.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_crd_of_the_chart_is_applied_and_outlives_a_destroy(program: Program) -> None:
    record = program.deploy()

    command = record.resource(COMMAND, CRDS_COMMAND).inputs
    assert [item["metadata"]["name"] for item in program.crds(record)] == sorted(CRDS)
    assert command["environment"]["MANTA_CRD_NAMES"].split() == sorted(CRDS)
    assert "delete" not in command


def test_with_remove_crds_only_a_destroy_deletes_the_crds(program: Program) -> None:
    command = program.deploy(removeCrds=True).resource(COMMAND, CRDS_COMMAND).inputs

    assert "kubectl delete customresourcedefinitions" in command["delete"]
    assert "triggers" not in command  # a trigger replaces the command, and a replacement would delete the CRDs


def test_no_resource_outlives_a_destroy(program: Program) -> None:
    assert [resource.name for resource in program.deploy("prod").resources.values() if resource.retain_on_delete] == []


def test_the_program_adopts_existing_objects_except_namespaces(program: Program) -> None:
    record = program.deploy()

    adopts = {
        resource.name: resource.inputs["upsertExistingObjects"]
        for resource in record.of_type("pulumi:providers:kubernetes")
    }
    assert adopts == {"cluster": "true", "cluster-namespaces": "false"}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_object_that_the_program_may_adopt_is_in_the_stacks_namespaces(program: Program, stack: str) -> None:
    for resource in program.deploy(stack).objects():
        if resource.type != "kubernetes:core/v1:Namespace":
            assert resource.inputs["metadata"]["namespace"] in {"manta", "manta-operator"}, resource.name


def test_a_newer_chart_upgrades_the_crds(program: Program) -> None:
    for name in CRDS:
        program.write(f"newer/crds/{name}.yaml", yaml.safe_dump(crd(name, version="2")))

    record, older = program.deploy(kuberayChart="./newer"), program.deploy()

    assert {item["metadata"]["annotations"]["chart-version"] for item in program.crds(record)} == {"2"}
    command, older_command = (run.resource(COMMAND, CRDS_COMMAND).inputs for run in (record, older))
    assert command["environment"]["MANTA_CRDS"] != older_command["environment"]["MANTA_CRDS"]


@pytest.mark.parametrize(
    ("chart", "options"),
    [
        (
            "kuberay-operator",
            {
                "chart": "kuberay-operator",
                "fetch_opts": {"repo": "https://ray-project.github.io/kuberay-helm/"},
            },
        ),
        ("oci://m.example.com/k", {"chart": "oci://m.example.com/k"}),
    ],
)
def test_pulumis_provider_pulls_the_crds_of_a_remote_chart(
    program: Program, chart: str, options: dict[str, object]
) -> None:
    record = program.deploy(kuberayChart=chart, kuberayChartVersion="1.7.1", mlflowChart="oci://m.example.com/m")

    ((kind, arguments),) = record.calls
    assert kind == "kubernetes:helm:template"
    assert yaml.safe_load(arguments["jsonOpts"]) == options | {"version": "1.7.1", "release_name": "crds"}
    assert {item["metadata"]["name"] for item in program.crds(record)} == set(CRDS)


def test_the_error_for_a_missing_chart_names_the_command_that_downloads_it(program: Program) -> None:
    with pytest.raises(ChartError, match="helm pull --untar"):
        program.deploy(kuberayChart="./nowhere")


def test_a_chart_without_crds_is_refused(program: Program) -> None:
    program.write("empty/Chart.yaml", "name: other\n")

    with pytest.raises(ChartError, match="contains no CRDs"):
        program.deploy(kuberayChart="./empty")


def test_the_operator_watches_one_namespace_and_has_rights_in_it_only(program: Program) -> None:
    inputs = program.deploy().resource(RELEASE, "kuberay-operator-release").inputs

    assert inputs["namespace"] == "manta-operator"
    assert inputs["values"]["singleNamespaceInstall"] is True
    assert inputs["values"]["watchNamespace"] == ["manta"]
    assert inputs["values"]["podSecurityContext"]["runAsUser"] == 65532
    assert inputs["skipCrds"] is True


@pytest.mark.parametrize("release", ["kuberay-operator-release", "mlflow-release"])
def test_a_failed_release_stays_so_that_the_next_update_repairs_it(program: Program, release: str) -> None:
    inputs = program.deploy().resource(RELEASE, release).inputs

    assert inputs["atomic"] is False
    assert inputs["timeout"] >= 300


def test_the_path_of_a_local_chart_is_relative_so_that_it_is_the_same_on_every_machine(program: Program) -> None:
    inputs = program.deploy(mlflowChart="./charts/mlflow").resource(RELEASE, "mlflow-release").inputs

    assert not inputs["chart"].startswith("/")
    assert inputs["chart"].endswith("project/charts/mlflow")
    assert "version" not in inputs
    assert "repositoryOpts" not in inputs


def test_redis_writes_to_a_volume_and_reads_its_password_from_a_file(program: Program) -> None:
    spec = program.deploy(storageClass="fast").resource(STATEFUL_SET).inputs["spec"]

    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    assert " ".join(container["args"]) == (
        "--dir /data --appendonly yes --appendfsync everysec --maxmemory 134217728 --maxmemory-policy noeviction"
    )
    assert container["command"] == ["redis-server", "/etc/redis-auth/auth.conf"]
    assert pod["securityContext"]["runAsUser"] == 999
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "redis-data"
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][-1] == "redis-cli ping | grep -q PONG"


def test_redis_volume_is_no_template_so_that_its_size_can_grow(program: Program) -> None:
    for size in ("1Gi", "5Gi"):
        record = program.deploy(storageClass="fast", redisVolumeSize=size)
        claim = record.resource("kubernetes:core/v1:PersistentVolumeClaim", "redis-volume").inputs["spec"]
        assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast", size)
        assert "volumeClaimTemplates" not in record.resource(STATEFUL_SET).inputs["spec"]


def test_a_new_password_restarts_redis(program: Program) -> None:
    before, after = (
        program.deploy(**changes).resource(STATEFUL_SET).inputs["spec"]["template"]["metadata"]["annotations"]
        for changes in ({}, {"redisPassword": "r" * SECRET_MIN_LENGTH})
    )

    assert before != after


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "rediss://redis.example.com:6380"),
        ({"redisTls": False}, "redis://redis.example.com:6380"),
    ],
)
def test_ray_uses_the_address_of_an_external_redis(program: Program, changes: dict[str, object], address: str) -> None:
    record = program.deploy(redis="external", redisAddress="redis.example.com:6380", **changes)

    gcs = record.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    assert gcs["gcsFaultToleranceOptions"] == {"redisAddress": address}
    assert record.of_type(STATEFUL_SET) == []


def test_an_ingress_has_tls_and_accepts_the_bodies_of_jobs_and_models(program: Program) -> None:
    ingresses = {object_name(resource): resource.inputs for resource in program.deploy("prod").of_type(INGRESS)}

    routes = {}
    for name, inputs in ingresses.items():
        (tls,) = inputs["spec"]["tls"]
        (rule,) = inputs["spec"]["rules"]
        backend = rule["http"]["paths"][0]["backend"]["service"]
        body = inputs["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
        assert tls == {"hosts": [rule["host"]], "secretName": "manta-tls"}
        routes[name] = (rule["host"], backend["name"], backend["port"]["number"], body)
    assert routes == {
        "access-ray": ("ray.manta.example.com", "manta-head-svc", 8265, "128m"),
        "access-mlflow": ("mlflow.manta.example.com", "mlflow", 5000, "1g"),
        "access-serve": ("manta.example.com", "manta-serve-svc", 8000, "8m"),
    }


def test_node_ports_select_the_head_and_mlflow(program: Program) -> None:
    record = program.deploy(access="nodePort", host="192.168.49.2")

    node_ports = {
        object_name(resource): (resource.inputs["spec"]["ports"][0]["nodePort"], resource.inputs["spec"]["selector"])
        for resource in record.of_type(SERVICE)
        if resource.inputs["spec"].get("type") == "NodePort"
    }
    part_of = {"app.kubernetes.io/part-of": "manta"}
    assert node_ports == {
        "access-ray": (30265, part_of | {"app.kubernetes.io/component": "ray", "ray.io/node-type": "head"}),
        "access-mlflow": (30989, part_of | {"app.kubernetes.io/component": "mlflow"}),
    }


def test_port_forward_registers_no_ingress_and_no_node_port(program: Program) -> None:
    record = program.deploy()

    assert record.of_type(INGRESS) == []
    assert {resource.inputs["spec"].get("type") for resource in record.of_type(SERVICE)} == {None}
