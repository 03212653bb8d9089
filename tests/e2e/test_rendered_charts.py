"""The Helm charts, rendered with the stack's values and validated by the API server; skipped without the charts."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from app.cli.stack.doctor import rights
from tests.support.engine import Record
from tests.support.json_object import JsonObject
from tests.support.kubernetes import Api
from tests.support.program import Program
from tests.unit.infra.test_doctor import text_of

OIDC = {
    "discoveryUrl": "https://id.example.com/realms/ml/.well-known/openid-configuration",
    "clientId": "mlflow",
    "groups": ["ml", "ML guests"],
}
CHARTS = "MANTA_E2E_CHARTS"
"""Environment variable: folder that contains the charts `kuberay-operator`, `mlflow` and `kube-prometheus-stack`."""


def chart(name: str) -> Path:
    folder = os.environ.get(CHARTS, "")
    if not folder or not (Path(folder) / name / "Chart.yaml").is_file():
        pytest.skip(f"no chart {name}: set {CHARTS} to a folder that `helm pull --untar` filled")
    return Path(folder) / name


def rendered(api: Api, record: Record, release: str, folder: str = "") -> list[JsonObject]:
    """Render a release as Helm would install it.

    Args:
        api: The API server, and the programs for it.
        record: What the program registers.
        release: Name of the resource of the release.
        folder: Name of the chart; empty for the name of the release.
    """
    inputs = record.resource("kubernetes:helm.sh/v3:Release", release).inputs
    if not api.has("helm"):
        pytest.skip("helm is not on PATH")
    name, namespace = inputs["name"], inputs["namespace"]
    folder = folder or name
    # Without a cluster, Helm assumes the Kubernetes that it was built with.
    version = json.loads(api.run("kubectl", "version", "-o", "json").stdout)["serverVersion"]["gitVersion"]
    result = api.run(
        *(
            "helm",
            "template",
            name,
            str(chart(folder)),
            "--namespace",
            namespace,
            "--skip-crds",
            "--kube-version",
            version,
            "-f",
            "-",
        ),
        stdin=json.dumps(inputs["values"]),
    )
    assert result.returncode == 0, result.stderr
    objects = [document for document in yaml.safe_load_all(result.stdout) if document]
    for document in objects:
        document["metadata"].setdefault("namespace", namespace)
    return objects


def of_kind(objects: list[JsonObject], kind: str) -> list[JsonObject]:
    return [document for document in objects if document["kind"] == kind]


@pytest.mark.parametrize("release", ["kuberay-operator-release", "mlflow-release"])
def test_a_rendered_chart_is_accepted_without_a_warning(api: Api, record: Record, release: str) -> None:
    assert api.problems(rendered(api, record, release)) == []


@pytest.mark.parametrize("release", ["kuberay-operator-release", "mlflow-release"])
def test_the_doctor_lists_the_rights_to_install_a_chart(api: Api, record: Record, release: str) -> None:
    namespace = record.resource("kubernetes:ray.io/v1:RayService").inputs["metadata"]["namespace"]
    editable = {
        (right.resource, right.namespace)
        for right in rights.required_rights(text_of("dev", {"namespace": namespace}))
        if set(rights.EDIT) <= set(right.verbs)
    }

    for document in rendered(api, record, release):
        group = document["apiVersion"].rpartition("/")[0]
        resource = f"{document['kind'].lower()}s.{group}".rstrip(".")
        assert (resource, document["metadata"]["namespace"]) in editable


def test_the_operator_has_rights_in_the_stacks_namespaces_only(api: Api, record: Record) -> None:
    objects = rendered(api, record, "kuberay-operator-release")
    workloads = record.resource("kubernetes:ray.io/v1:RayService").inputs["metadata"]["namespace"]

    assert of_kind(objects, "ClusterRole") == []
    assert of_kind(objects, "ClusterRoleBinding") == []
    arguments = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--watch-namespace") + 1] == workloads


def test_mlflow_uses_the_database_and_the_artifact_store_of_the_stack(api: Api, record: Record) -> None:
    values = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    objects = rendered(api, record, "mlflow-release")

    pod = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]
    arguments = " ".join(pod["containers"][0]["args"])
    (database,) = [
        variable["value"]
        for container in pod["initContainers"]
        for variable in container.get("env", [])
        if variable["name"] == "AUTH_DATABASE"
    ]
    if any(volume["name"] == "mlflow-data" for volume in pod["volumes"]):
        assert "--backend-store-uri=sqlite:////mlflow/data/mlflow.db" in arguments
        assert "--artifacts-destination=/mlflow/data/artifacts" in arguments
        assert database == "sqlite:////mlflow/data/basic_auth.db"
    else:
        assert "--backend-store-uri=postgresql+psycopg2://" in arguments
        assert f"--artifacts-destination={values['artifactRoot']['defaultArtifactsDestination']}" in arguments
        assert database == "postgresql+psycopg2:///mlflow_auth"
    assert "--serve-artifacts" in arguments
    assert "--app-name=basic-auth" in arguments


@pytest.mark.parametrize(
    ("stack", "users"),
    [
        ("dev", "sqlite:////mlflow/data/oidc_auth.db"),
        ("prod", "postgresql+psycopg2:///mlflow_auth?options=-csearch_path%3Dmlflow_oidc"),
    ],
)
def test_people_sign_in_to_mlflow_by_the_plugin_and_its_users_are_where_the_init_container_writes(
    api: Api, program: Program, namespaces: list[str], stack: str, users: str
) -> None:
    changes: dict[str, object] = {"namespace": namespaces[0], "kuberayChart": "./kuberay"}
    record = program.deploy(stack, **changes, mlflowOidc=OIDC, mlflowOidcClientSecret="a secret")

    objects = rendered(api, record, "mlflow-release")

    assert api.problems(objects) == []
    pod = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    variables = {variable["name"]: variable.get("value", "") for variable in server["env"]}
    assert "--app-name=oidc-auth" in " ".join(server["args"])
    assert variables["OIDC_DISCOVERY_URL"] == OIDC["discoveryUrl"]
    assert variables["OIDC_GROUP_NAME"] == "ml,ML guests"
    assert variables["OIDC_ADMIN_GROUP_NAME"] == ""
    setter = pod["initContainers"][-1]
    for container in (server, setter):
        assert {"name": "OIDC_USERS_DB_URI", "value": users} in container["env"]


def test_the_policies_select_the_pods_of_the_rendered_charts(api: Api, record: Record) -> None:
    selectors = {
        resource.inputs["metadata"]["name"]: resource.inputs["spec"]["podSelector"].get("matchLabels", {})
        for resource in record.of_type("kubernetes:networking.k8s.io/v1:NetworkPolicy")
    }

    (mlflow,) = of_kind(rendered(api, record, "mlflow-release"), "Deployment")

    assert selectors["mlflow"].items() <= mlflow["spec"]["template"]["metadata"]["labels"].items()


@pytest.fixture
def monitoring(api: Api, program: Program, namespaces: list[str]) -> Iterator[list[JsonObject]]:
    """Objects of kube-prometheus-stack, whose CRDs and namespace exist."""
    changes: dict[str, object] = {"namespace": namespaces[0], "kuberayChart": "./kuberay", "monitoring": "install"}
    record = program.deploy("dev", **changes, monitoringChart=str(chart("kube-prometheus-stack")))
    command = record.resource("command:local:Command", "monitoring-prometheus-crds")
    crds = json.loads((program.root / command.inputs["environment"]["MANTA_CRDS"]).read_text())["items"]
    api.apply(crds)
    names = [crd["metadata"]["name"] for crd in crds]
    api.run("kubectl", "wait", "--for=condition=Established", "--timeout=60s", "crd", *names)
    namespace = f"{namespaces[0]}-monitoring"
    api.apply([record.resource("kubernetes:core/v1:Namespace", "namespaces-monitoring").inputs])
    yield rendered(api, record, "monitoring-prometheus-release", "kube-prometheus-stack")
    api.run("kubectl", "delete", "--wait=false", "namespace", namespace)
    api.run("kubectl", "delete", "--wait=false", "crd", *names)


def test_the_prometheus_of_a_stack_is_accepted_without_a_warning_and_small(
    api: Api, monitoring: list[JsonObject], namespaces: list[str]
) -> None:
    listed = {right.resource for right in rights.required_rights(text_of("dev", {"monitoring": "install"}))}
    kinds = {(document["kind"], document["apiVersion"].rpartition("/")[0]) for document in monitoring}
    own = {*namespaces, f"{namespaces[0]}-monitoring"}

    assert api.problems(monitoring) == []
    assert {item["metadata"]["name"] for item in of_kind(monitoring, "Deployment")} == {
        "grafana",
        f"{namespaces[0]}-monitoring-kube-state-metrics",
        f"{namespaces[0]}-monitoring-kube-prometheus-stack"[:26].rstrip("-") + "-operator",
    }
    assert {
        f"{kind.lower()}s.{group}".rstrip(".").replace("prometheuss", "prometheuses") for kind, group in kinds
    } <= listed
    assert {item["metadata"]["namespace"] for item in monitoring} <= own
    grafana = [item for item in monitoring if item["metadata"]["name"].startswith("grafana")]
    assert of_kind(grafana, "ClusterRole") == []
