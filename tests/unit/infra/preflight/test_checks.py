"""The checks of the cluster before anything is registered: what is refused, and the command in the refusal."""

import pulumi
import pytest

from infra import labels, names
from infra.preflight import checks
from infra.preflight.checks import Expectations, PreflightError
from infra.preflight.cluster_state import ClusterState
from infra.preflight.stack_checks import run
from tests.support import engine
from tests.support.json_object import JsonObject
from tests.support.kubernetes_objects import operator
from tests.support.program import Program, parsed

CREATED = labels.of(names.PART_OF)
SHARED: dict[str, object] = {"installOperator": False, "installCrds": False, "operatorNamespace": "kuberay-system"}
CRDS = {name: {"metadata": {"name": name}, "spec": {}} for name in ("rayclusters.ray.io", "rayservices.ray.io")}


def namespace(**labels: str) -> JsonObject:
    return {"metadata": {"labels": labels}}


def message(state: ClusterState, stack: str = "dev", /, **changes: object) -> str:
    """The refusal of a cluster, empty if the cluster is accepted."""
    try:
        run(parsed(stack, **changes), lambda _reader, _wanted: state)
    except PreflightError as error:
        return str(error)
    return ""


def test_an_empty_cluster_is_accepted() -> None:
    assert message(ClusterState(version="v1.34.4", namespaces={}, operators=[], crds={})) == ""


def test_a_cluster_that_cannot_be_read_is_accepted_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)

    assert message(ClusterState(errors=["Unable to connect to the server"])) == ""

    assert warnings == [
        "The cluster could not be checked completely: Unable to connect to the server. Run `manta doctor` to see more."
    ]


@pytest.mark.parametrize(("version", "is_refused"), [("v1.26.15-eks-1", True), ("v1.27.0", False), ("v1.34.4", False)])
def test_an_old_kubernetes_is_refused_with_both_versions(version: str, is_refused: object) -> None:
    text = message(ClusterState(version=version))

    assert (f"its Kubernetes is {version}; the stack needs 1.27 or newer" in text) is is_refused


@pytest.mark.parametrize(
    ("arguments", "is_watching"),
    [
        ((), True),
        (("--watch-namespace", "manta"), True),
        (("--watch-namespace=team-a,manta",), True),
        (("--watch-namespace", "team-a"), False),
        (("--watch-namespace", ""), True),
        (("--config", "/etc/kuberay/config.yaml"), True),
    ],
)
def test_an_operator_watches_a_namespace_unless_its_arguments_name_others(
    arguments: tuple[str, ...], is_watching: object
) -> None:
    assert checks.watches(operator(*arguments), "manta") is is_watching


def test_a_second_operator_for_the_same_namespace_is_refused() -> None:
    text = message(ClusterState(operators=[operator(tag="v1.6.0")]))

    assert "the KubeRay operator v1.6.0 in the namespace kuberay-system watches manta too" in text
    assert "pulumi config set installOperator false && pulumi config set installCrds false" in text


def test_the_operator_of_the_stack_is_no_second_operator() -> None:
    own = operator("--watch-namespace", "manta", namespace="manta-operator")

    assert message(ClusterState(operators=[own])) == ""


def test_a_shared_operator_must_watch_the_namespace_and_be_new_enough() -> None:
    crds = CRDS
    assert message(ClusterState(operators=[operator()], crds=crds), **SHARED) == ""
    assert "no KubeRay operator watches manta" in message(ClusterState(operators=[], crds=crds), **SHARED)
    old = message(ClusterState(operators=[operator(tag="v1.5.1")], crds=crds), **SHARED)
    assert "is v1.5.1; the stack needs 1.6.2 or newer" in old


def test_the_operator_that_the_stack_is_about_to_remove_does_not_count_as_shared() -> None:
    own = operator("--watch-namespace", "manta", namespace="manta-operator")

    assert "no KubeRay operator watches manta" in message(ClusterState(operators=[own], crds=CRDS), **SHARED)


def test_missing_crds_are_refused_if_the_stack_installs_none() -> None:
    text = message(ClusterState(operators=[operator()], crds={}), **SHARED)

    assert "the CRDs rayclusters.ray.io, rayservices.ray.io do not exist" in text


@pytest.mark.parametrize(
    ("create", "existing", "expected"),
    [
        (True, None, ""),
        (True, CREATED, ""),
        (True, {}, "the namespace manta exists, and the stack did not create it"),
        (False, {}, ""),
        (False, None, "kubectl create namespace manta"),
        (False, CREATED, "Pulumi would delete it with all that it holds"),
    ],
)
def test_a_namespace_is_created_or_used_but_never_taken_or_deleted_by_a_changed_key(
    create: object, existing: dict[str, str] | None, expected: str
) -> None:
    operator_namespace = {} if create and existing is None else {"manta-operator": namespace(**(existing or {}))}
    workloads = {} if existing is None else {"manta": namespace(**existing)}

    text = message(ClusterState(namespaces=workloads | operator_namespace), createNamespaces=create)

    assert expected in text
    assert bool(text) is bool(expected)


def test_a_secret_of_the_configuration_must_exist_before_the_first_update() -> None:
    before = message(ClusterState(namespaces={}), "prod", createNamespaces=True)
    after = ClusterState(namespaces={"manta": namespace(**CREATED)}, secrets={"manta": ["mlflow-postgres"]})

    assert "the Secret mlflow-postgres, which does not exist in the namespace manta" in before
    assert "kubectl create namespace manta && kubectl create secret generic mlflow-postgres -n manta" in before
    assert "pulumi config set createNamespaces false" in before
    assert message(after, "prod", createNamespaces=True) == ""


def test_the_secret_with_the_client_secret_of_a_provider_must_exist() -> None:
    url = "https://id.example.com/.well-known/openid-configuration"
    oidc = {"discoveryUrl": url, "clientId": "mlflow", "groups": ["ml"]}
    state = ClusterState(namespaces={"manta": namespace(**CREATED)}, secrets={"manta": ["mlflow-postgres"]})

    text = message(state, "prod", mlflowOidc=oidc, mlflowOidcSecret="mlflow-oidc-client")

    assert "the Secret mlflow-oidc-client, which does not exist in the namespace manta" in text


def test_secrets_that_may_not_be_read_are_not_missing() -> None:
    state = ClusterState(namespaces={"manta": namespace(**CREATED)})

    assert message(state, "prod", createNamespaces=True) == ""


def test_a_refused_cluster_stops_the_program_before_it_registers_anything(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[str] = []
    monkeypatch.setattr(engine, "_registered", lambda urn, _request: registered.append(urn))
    monkeypatch.setattr(program, "cluster", ClusterState(version="v1.20.0"))

    with pytest.raises(PreflightError, match=r"its Kubernetes is v1\.20\.0"):
        program.deploy(cpus=7)

    assert registered == []


def test_the_namespaces_that_are_read_are_those_of_the_stack() -> None:
    stack = parsed("dev", operatorNamespace="ray-operator")

    expected = Expectations(namespace="manta", sharing=stack.sharing, secrets={})

    assert expected.namespaces == ["manta", "ray-operator"]
