"""Both Helm charts rendered with our values, and judged by the API server: where charts are at hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine import Record
from tests.support.kubernetes import Api

CHARTS = "MANTA_E2E_CHARTS"
"""Variable that names a folder with the charts `kuberay-operator` and `mlflow`."""


def chart(name: str) -> Path:
    folder = os.environ.get(CHARTS, "")
    if not folder or not (Path(folder) / name / "Chart.yaml").is_file():
        pytest.skip(f"no chart {name}: set {CHARTS} to a folder that `helm pull --untar` filled")
    return Path(folder) / name


def rendered(api: Api, record: Record, release: str) -> list[dict[str, Any]]:
    """Render a release as Helm would install it."""
    inputs = record.one("kubernetes:helm.sh/v3:Release", release).inputs
    if not api.has("helm"):
        pytest.skip("helm is not on PATH")
    name, namespace = inputs["name"], inputs["namespace"]
    done = api.run(
        *("helm", "template", name, str(chart(name)), "--namespace", namespace, "--skip-crds", "-f", "-"),
        given=json.dumps(inputs["values"]),
    )
    assert done.returncode == 0, done.stderr
    objects = [one for one in yaml.safe_load_all(done.stdout) if one]
    for one in objects:
        one["metadata"].setdefault("namespace", namespace)
    return objects


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


@pytest.mark.parametrize("release", ["kuberay-operator-release", "mlflow-release"])
def test_a_rendered_chart_is_accepted_without_a_warning(api: Api, record: Record, release: str) -> None:
    assert api.judge(rendered(api, record, release)) == []


def test_the_operator_has_rights_in_our_namespaces_alone(api: Api, record: Record) -> None:
    objects = rendered(api, record, "kuberay-operator-release")
    workloads = record.one("kubernetes:ray.io/v1:RayService").inputs["metadata"]["namespace"]

    assert of_kind(objects, "ClusterRole") == []
    assert of_kind(objects, "ClusterRoleBinding") == []
    arguments = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert arguments[arguments.index("--watch-namespace") + 1] == workloads


def test_mlflow_is_started_on_the_store_that_the_stack_names(api: Api, record: Record) -> None:
    objects = rendered(api, record, "mlflow-release")

    pod = of_kind(objects, "Deployment")[0]["spec"]["template"]["spec"]
    arguments = " ".join(pod["containers"][0]["args"])
    (ini,) = [one for one in of_kind(objects, "ConfigMap") if "auth_template.ini" in one["data"]]
    database = ini["data"]["auth_template.ini"]
    if any(volume["name"] == "mlflow-data" for volume in pod["volumes"]):
        assert "--backend-store-uri=sqlite:////mlflow/data/mlflow.db" in arguments
        assert "--artifacts-destination=/mlflow/data/artifacts" in arguments
        assert "database_uri = sqlite:////mlflow/data/basic_auth.db" in database
    else:
        assert "--backend-store-uri=postgresql://" in arguments
        assert "--artifacts-destination=s3://example-manta-artifacts" in arguments
        assert "@postgres.example.com:5432/mlflow_auth" in database
    assert "--serve-artifacts" in arguments
    assert "--app-name=basic-auth" in arguments


def test_the_policies_select_the_pods_of_the_rendered_charts(api: Api, record: Record) -> None:
    selectors = {
        one.inputs["metadata"]["name"]: one.inputs["spec"]["podSelector"].get("matchLabels", {})
        for one in record.of_type("kubernetes:networking.k8s.io/v1:NetworkPolicy")
    }

    (mlflow,) = of_kind(rendered(api, record, "mlflow-release"), "Deployment")

    assert selectors["mlflow"].items() <= mlflow["spec"]["template"]["metadata"]["labels"].items()
