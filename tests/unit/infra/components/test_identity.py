"""The identity of pods at a cloud: ServiceAccounts, their annotations, and the labels of pods, as each cloud asks."""

import pytest

from infra.config.settings import SettingsError
from tests.support.json_object import JsonObject
from tests.support.program import Program, parsed

ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/manta"}
ACCOUNT = {"iam.gke.io/gcp-service-account": "manta@project.iam.gserviceaccount.com"}
CLIENT = {"azure.workload.identity/client-id": "00000000-0000-0000-0000-000000000000"}
CASES: dict[str, tuple[str, dict[str, str]]] = {
    "EKS with IAM roles": ("eks-irsa", ROLE),
    "GKE": ("gke", ACCOUNT),
    "AKS": ("aks", CLIENT),
}


def groups(program: Program, stack: str, **changes: object) -> tuple[JsonObject, JsonObject]:
    """Templates of the head and of a worker."""
    service = program.deploy(stack, **changes).resource("kubernetes:ray.io/v1:RayService")
    cluster = service.inputs["spec"]["rayClusterConfig"]
    return cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]


@pytest.mark.parametrize("case", CASES)
def test_the_service_accounts_have_the_annotations_of_the_cloud(program: Program, case: str) -> None:
    kind, annotations = CASES[case]

    record = program.deploy(
        "prod",
        workloadIdentity=kind,
        rayServiceAccountAnnotations=annotations,
        mlflowServiceAccountAnnotations=annotations,
    )

    account = record.resource("kubernetes:core/v1:ServiceAccount", "ray").inputs
    values = record.resource("kubernetes:helm.sh/v3:Release", "mlflow-release").inputs["values"]
    assert account["metadata"]["annotations"] == annotations
    assert values["serviceAccount"]["annotations"] == annotations


def test_workers_use_their_service_account_and_mount_no_token_of_it(program: Program) -> None:
    _, worker = groups(program, "prod")

    assert worker["spec"]["serviceAccountName"] == "ray"
    assert worker["spec"]["automountServiceAccountToken"] is False


def test_only_the_head_of_an_autoscaled_cluster_mounts_the_token_with_which_it_changes_workers(
    program: Program,
) -> None:
    autoscaled, _ = groups(program, "dev")
    fixed, _ = groups(program, "dev", minWorkers=2, maxWorkers=2)

    assert "automountServiceAccountToken" not in autoscaled["spec"]
    assert fixed["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in autoscaled["spec"]


@pytest.mark.parametrize("kind", ["aks", "gke", "eks-pod-identity"])
def test_only_aks_finds_its_pods_by_a_label(program: Program, kind: str) -> None:
    is_labelled = kind == "aks"
    changes = {"workloadIdentity": kind, "mlflowServiceAccountAnnotations": CLIENT if kind == "aks" else {}}

    head, worker = groups(program, "prod", **changes)

    release = program.deploy("prod", **changes).resource("kubernetes:helm.sh/v3:Release", "mlflow-release")
    label = "azure.workload.identity/use"
    assert (worker["metadata"]["labels"].get(label) == "true") is is_labelled
    assert (release.inputs["values"]["extraPodLabels"].get(label) == "true") is is_labelled
    assert label not in head["metadata"]["labels"]


@pytest.mark.parametrize(
    ("stack", "changes", "command"),
    [
        ("dev", {"workloadIdentity": "gke"}, "pulumi config rm workloadIdentity"),
        ("prod", {"workloadIdentity": "azure"}, "pulumi config set workloadIdentity none"),
        (
            "prod",
            {"workloadIdentity": "eks-irsa"},
            "pulumi config set --path 'mlflowServiceAccountAnnotations[\"eks.amazonaws.com/role-arn\"]' arn:",
        ),
        (
            "prod",
            {"workloadIdentity": "aks", "rayServiceAccountAnnotations": ROLE},
            "pulumi config set --path 'mlflowServiceAccountAnnotations[\"azure.workload.identity/client-id\"]' ",
        ),
        ("prod", {"rayServiceAccountAnnotations": ACCOUNT}, "pulumi config set workloadIdentity gke"),
        ("prod", {"mlflowServiceAccountAnnotations": CLIENT}, "pulumi config set workloadIdentity aks"),
    ],
)
def test_an_identity_that_cannot_work_is_refused(stack: str, changes: dict[str, object], command: str) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(stack, **changes)

    assert command in str(error.value)


def test_an_iam_role_works_without_a_further_key() -> None:
    assert parsed("prod", mlflowServiceAccountAnnotations=ROLE).identity.workload_identity == "none"


def test_workers_that_only_train_have_a_service_account_of_their_own(program: Program) -> None:
    plain = program.deploy("prod", trainWorkers=2, rayServiceAccountAnnotations=ROLE)
    other = program.deploy(
        "prod",
        trainWorkers=2,
        rayServiceAccountAnnotations=ROLE,
        trainingServiceAccountAnnotations=ROLE | {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/training"},
    )

    cluster = plain.resource("kubernetes:ray.io/v1:RayService").inputs["spec"]["rayClusterConfig"]
    accounts = [group["template"]["spec"]["serviceAccountName"] for group in cluster["workerGroupSpecs"]]
    assert accounts == ["ray", "training"]
    roles = [
        record.resource("kubernetes:core/v1:ServiceAccount", "training").inputs["metadata"]["annotations"]
        for record in (plain, other)
    ]
    assert [role["eks.amazonaws.com/role-arn"].rpartition("/")[2] for role in roles] == ["manta", "training"]
