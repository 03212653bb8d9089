"""Namespaces, the operator, Redis and the ways in: what is registered."""

import pytest
import yaml

from infra.charts import ChartError
from infra.config.vocabulary import SECRET_MIN_LENGTH
from tests.support.engine import object_name
from tests.support.program import CRDS, Program, crd

CRD = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
RELEASE = "kubernetes:helm.sh/v3:Release"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
SERVICE = "kubernetes:core/v1:Service"


def test_both_namespaces_enforce_the_strictest_pod_security(program: Program) -> None:
    namespaces = program.deploy().of_type("kubernetes:core/v1:Namespace")

    assert {object_name(one) for one in namespaces} == {"manta", "manta-operator"}
    for one in namespaces:
        assert one.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_crd_of_the_chart_is_applied_and_left_behind(program: Program) -> None:
    found = program.deploy().of_type(CRD)

    assert {object_name(one) for one in found} == set(CRDS)
    assert all(one.retain_on_delete for one in found)


def test_remove_crds_lets_a_destroy_take_them(program: Program) -> None:
    assert not any(one.retain_on_delete for one in program.deploy(removeCrds=True).of_type(CRD))


def test_nothing_but_crds_outlives_a_destroy(program: Program) -> None:
    kept = {one.type for one in program.deploy("prod").resources.values() if one.retain_on_delete}

    assert kept == {CRD}


def test_crds_and_what_lies_in_our_namespaces_are_taken_over_and_a_namespace_is_not(program: Program) -> None:
    record = program.deploy()

    adopts = {one.name: one.inputs["upsertExistingObjects"] for one in record.of_type("pulumi:providers:kubernetes")}
    assert adopts == {"cluster": "true", "cluster-namespaces": "false"}
    for one in record.of_type(CRD):
        assert one.inputs["metadata"]["annotations"]["pulumi.com/patchForce"] == "true"


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_all_that_an_update_may_take_over_lies_in_our_namespaces_or_is_a_crd(program: Program, stack: str) -> None:
    for one in program.deploy(stack).objects():
        if one.type not in {CRD, "kubernetes:core/v1:Namespace"}:
            assert one.inputs["metadata"]["namespace"] in {"manta", "manta-operator"}, one.name


def test_a_newer_chart_upgrades_the_crds(program: Program) -> None:
    for name in CRDS:
        program.write(f"newer/crds/{name}.yaml", yaml.safe_dump(crd(name, version="2")))

    found = program.deploy(kuberayChart="./newer").of_type(CRD)

    assert {one.inputs["metadata"]["annotations"]["chart-version"] for one in found} == {"2"}


@pytest.mark.parametrize(
    ("chart", "fetched"),
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
def test_crds_of_a_chart_elsewhere_come_through_pulumis_own_helm(
    program: Program, chart: str, fetched: dict[str, object]
) -> None:
    record = program.deploy(kuberayChart=chart, kuberayChartVersion="1.7.1", mlflowChart="oci://m.example.com/m")

    ((kind, arguments),) = record.calls
    assert kind == "kubernetes:helm:template"
    assert yaml.safe_load(arguments["jsonOpts"]) == fetched | {"version": "1.7.1", "release_name": "crds"}
    assert {object_name(one) for one in record.of_type(CRD)} == set(CRDS)


def test_a_chart_that_is_not_there_is_named_with_the_way_out(program: Program) -> None:
    with pytest.raises(ChartError, match="helm pull kuberay-operator --untar"):
        program.deploy(kuberayChart="./nowhere")


def test_a_chart_without_crds_is_refused(program: Program) -> None:
    program.write("empty/Chart.yaml", "name: other\n")

    with pytest.raises(ChartError, match="contains no CRDs"):
        program.deploy(kuberayChart="./empty")


def test_the_operator_watches_our_namespace_with_the_rights_of_that_one_alone(program: Program) -> None:
    inputs = program.deploy().one(RELEASE, "kuberay-operator-release").inputs

    assert inputs["namespace"] == "manta-operator"
    assert inputs["values"]["singleNamespaceInstall"] is True
    assert inputs["values"]["watchNamespace"] == ["manta"]
    assert inputs["values"]["podSecurityContext"]["runAsUser"] == 65532
    assert inputs["skipCrds"] is True


@pytest.mark.parametrize("release", ["kuberay-operator-release", "mlflow-release"])
def test_a_failed_release_is_left_for_the_next_update_to_mend(program: Program, release: str) -> None:
    inputs = program.deploy().one(RELEASE, release).inputs

    assert inputs["atomic"] is False
    assert inputs["timeout"] >= 300


def test_a_chart_on_the_disk_is_named_by_a_path_that_other_machines_share(program: Program) -> None:
    inputs = program.deploy(mlflowChart="./charts/mlflow").one(RELEASE, "mlflow-release").inputs

    assert not inputs["chart"].startswith("/")
    assert inputs["chart"].endswith("project/charts/mlflow")
    assert "version" not in inputs
    assert "repositoryOpts" not in inputs


def test_redis_keeps_every_write_on_a_volume_and_its_password_out_of_its_arguments(program: Program) -> None:
    spec = program.deploy(storageClass="fast").one(STATEFUL_SET).inputs["spec"]

    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    assert " ".join(container["args"]) == (
        "--dir /data --appendonly yes --appendfsync everysec --maxmemory-policy noeviction"
    )
    assert container["command"] == ["redis-server", "/etc/redis-auth/auth.conf"]
    assert pod["securityContext"]["runAsUser"] == 999
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    claim = spec["volumeClaimTemplates"][0]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast", "1Gi")
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"][-1] == "redis-cli ping | grep -q PONG"


def test_redis_restarts_with_its_password_and_is_not_evicted(program: Program) -> None:
    before, after = (
        program.deploy(**changes).one(STATEFUL_SET).inputs["spec"]["template"]["metadata"]["annotations"]
        for changes in ({}, {"redisPassword": "r" * SECRET_MIN_LENGTH})
    )

    budget = program.deploy().one("kubernetes:policy/v1:PodDisruptionBudget").inputs["spec"]
    assert before != after
    assert budget["minAvailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "rediss://redis.example.com:6380"),
        ({"redisTls": False}, "redis://redis.example.com:6380"),
    ],
)
def test_an_external_redis_is_used_as_it_stands(program: Program, changes: dict[str, object], address: str) -> None:
    record = program.deploy(redis="external", redisAddress="redis.example.com:6380", **changes)

    gcs = record.one("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    assert gcs["gcsFaultToleranceOptions"] == {"redisAddress": address}
    assert record.of_type(STATEFUL_SET) == []


def test_an_ingress_has_tls_and_lets_jobs_and_models_through(program: Program) -> None:
    ingresses = {object_name(one): one.inputs for one in program.deploy("prod").of_type(INGRESS)}

    limits = {}
    for name, inputs in ingresses.items():
        (tls,) = inputs["spec"]["tls"]
        (rule,) = inputs["spec"]["rules"]
        backend = rule["http"]["paths"][0]["backend"]["service"]
        body = inputs["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
        assert tls == {"hosts": [rule["host"]], "secretName": "manta-tls"}
        limits[name] = (rule["host"], backend["name"], backend["port"]["number"], body)
    assert limits == {
        "access-ray": ("ray.manta.example.com", "manta-head-svc", 8265, "128m"),
        "access-mlflow": ("mlflow.manta.example.com", "mlflow", 5000, "1g"),
        "access-serve": ("manta.example.com", "manta-serve-svc", 8000, "8m"),
    }


def test_node_ports_lead_to_the_head_and_to_mlflow(program: Program) -> None:
    record = program.deploy(access="nodePort", host="192.168.49.2")

    opened = {
        object_name(one): (one.inputs["spec"]["ports"][0]["nodePort"], one.inputs["spec"]["selector"])
        for one in record.of_type(SERVICE)
        if one.inputs["spec"].get("type") == "NodePort"
    }
    part = {"app.kubernetes.io/part-of": "manta"}
    assert opened == {
        "access-ray": (30265, part | {"app.kubernetes.io/component": "ray", "ray.io/node-type": "head"}),
        "access-mlflow": (30989, part | {"app.kubernetes.io/component": "mlflow"}),
    }


def test_port_forward_opens_nothing(program: Program) -> None:
    record = program.deploy()

    assert record.of_type(INGRESS) == []
    assert {one.inputs["spec"].get("type") for one in record.of_type(SERVICE)} == {None}
