"""What a stack leaves to others: existing namespaces, the operator of the cluster, and its CRDs."""

import pytest

from infra.config.settings import SettingsError
from tests.support.engine import object_name
from tests.support.program import Program, flows_of, parsed

SHARED: dict[str, object] = {"installOperator": False, "installCrds": False, "operatorNamespace": "kuberay-system"}


def test_existing_namespaces_are_used_and_not_registered(program: Program) -> None:
    record = program.deploy(createNamespaces=False)

    assert record.of_type("kubernetes:core/v1:Namespace") == []
    assert record.resource("kubernetes:ray.io/v1:RayService").inputs["metadata"]["namespace"] == "manta"
    release = record.resource("kubernetes:helm.sh/v3:Release", "kuberay-operator-release")
    assert release.inputs["namespace"] == "manta-operator"


def test_a_shared_operator_is_not_installed_and_neither_are_its_crds_and_namespace(program: Program) -> None:
    record = program.deploy(**SHARED)

    assert [object_name(item) for item in record.of_type("kubernetes:core/v1:Namespace")] == ["manta"]
    assert "kuberay-operator-crds" not in {command.name for command in record.of_type("command:local:Command")}
    releases = [release.inputs["name"] for release in record.of_type("kubernetes:helm.sh/v3:Release")]
    assert releases == ["mlflow"]
    assert record.outputs["operatorNamespace"] == "kuberay-system"


def test_the_policies_admit_a_shared_operator_and_leave_its_namespace_alone(program: Program) -> None:
    record = program.deploy(**SHARED)

    policies = record.of_type("kubernetes:networking.k8s.io/v1:NetworkPolicy")
    assert {policy.inputs["metadata"]["namespace"] for policy in policies} == {"manta"}
    [flow] = [flow for flow in flows_of(**SHARED) if flow.source.namespace == "kuberay-system" and 8265 in flow.ports]
    assert flow.destination.name == "ray"


def test_the_operator_may_have_a_namespace_of_another_name(program: Program) -> None:
    record = program.deploy(operatorNamespace="ray-operator")

    names = {object_name(item) for item in record.of_type("kubernetes:core/v1:Namespace")}
    assert names == {"manta", "ray-operator"}


def test_the_operator_can_be_installed_over_existing_crds(program: Program) -> None:
    record = program.deploy(installCrds=False)

    assert "kuberay-operator-crds" not in {command.name for command in record.of_type("command:local:Command")}
    assert record.resource("kubernetes:helm.sh/v3:Release", "kuberay-operator-release")


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        (SHARED | {"operatorNamespace": ""}, "pulumi config set operatorNamespace kuberay-system"),
        (SHARED | {"installCrds": True}, "pulumi config set installCrds false"),
        ({"installCrds": False, "removeCrds": True}, "pulumi config rm removeCrds"),
        ({"operatorNamespace": "manta"}, "pulumi config set operatorNamespace manta-operator"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], command: str) -> None:
    with pytest.raises(SettingsError) as error:
        parsed("dev", **changes)

    assert command in str(error.value)
