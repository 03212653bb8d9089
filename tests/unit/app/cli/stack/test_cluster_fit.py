"""The checks of `manta doctor` whether a cluster fits the stack."""

from collections.abc import Sequence

import pytest

from app.cli.json_object import JsonObject
from app.cli.stack.doctor import cluster_fit, preflight
from app.cli.stack.doctor.checks import CheckResult, Status
from app.cli.stack.programs import Kubectl
from tests.support.kubernetes_objects import operator

CONFIG = {
    "namespace": "manta",
    "createNamespaces": "true",
    "installOperator": "true",
    "installCrds": "true",
    "operatorNamespace": "",
}
SHARED = CONFIG | {"installOperator": "false", "installCrds": "false", "operatorNamespace": "kuberay-system"}
CRDS: list[JsonObject] = [{"metadata": {"name": name}} for name in cluster_fit.CRDS]


class FakeKubectl(Kubectl):
    """kubectl that answers from a dictionary of objects by kind."""

    def __init__(self, **objects: Sequence[JsonObject]) -> None:
        super().__init__(context="minikube")
        object.__setattr__(self, "objects", objects)

    def items(self, kind: str, *_arguments: str) -> list[JsonObject]:
        objects: dict[str, Sequence[JsonObject]] = self.__dict__["objects"]
        return list(objects.get(kind.partition(".")[0], []))


def results(kubectl: Kubectl, config: dict[str, str], version: str = "v1.34.4") -> dict[str, CheckResult]:
    return {result.check: result for result in cluster_fit.run_checks(config, kubectl, version=version)}


def test_an_old_cluster_fails_with_both_versions() -> None:
    result = results(FakeKubectl(), CONFIG, "v1.26.15")["kubernetes"]

    assert (result.status, result.detail) == (Status.WRONG, "v1.26.15; 1.27 or newer is needed")


@pytest.mark.parametrize(("operators", "status"), [([operator()], Status.WRONG), ([], Status.OK)])
def test_a_second_operator_for_the_namespace_fails(operators: list[JsonObject], status: Status) -> None:
    result = results(FakeKubectl(deployments=operators), CONFIG)["kuberay operator"]

    assert result.status is status
    assert ("installOperator false" in result.next_step) is (status is Status.WRONG)


@pytest.mark.parametrize(("operators", "crds", "status"), [([], [], Status.WRONG), ([operator()], CRDS, Status.OK)])
def test_a_shared_operator_and_its_crds_must_exist(
    operators: list[JsonObject], crds: list[JsonObject], status: Status
) -> None:
    kubectl = FakeKubectl(deployments=operators, customresourcedefinitions=crds)

    found = results(kubectl, SHARED)

    assert found["kuberay operator"].status is status
    assert found["kuberay crds"].status is status


def test_a_namespace_of_others_must_exist_and_may_enforce_any_level() -> None:
    config = CONFIG | {"createNamespaces": "false"}

    missing = preflight.check_namespace(config, FakeKubectl())
    present = preflight.check_namespace(config, FakeKubectl(namespaces=[{"metadata": {"name": "manta"}}]))

    assert missing.next_step == "kubectl create namespace manta"
    assert present.status is Status.OK


def gateway(protocol: str = "HTTPS", admitted: str = "All") -> JsonObject:
    listener = {"protocol": protocol, "allowedRoutes": {"namespaces": {"from": admitted}}}
    return {"metadata": {"name": "public"}, "spec": {"listeners": [listener]}}


@pytest.mark.parametrize(
    ("gateways", "status", "detail"),
    [
        ([gateway()], Status.OK, "1 HTTPS listeners of infra/public admit manta"),
        ([gateway(admitted="Selector")], Status.OK, "1 HTTPS listeners"),
        ([gateway(admitted="Same")], Status.WRONG, "0 HTTPS listeners"),
        ([gateway("HTTP")], Status.WRONG, "0 HTTPS listeners"),
        ([{"metadata": {"name": "other"}}], Status.WRONG, "infra/public does not exist"),
    ],
)
def test_the_gateway_must_exist_and_admit_the_routes_of_the_stack(
    gateways: list[JsonObject], status: Status, detail: str
) -> None:
    config = CONFIG | {"access": "gateway", "gateway": "infra/public"}

    result = results(FakeKubectl(gateways=gateways), config)["gateway"]

    assert result.status is status
    assert detail in result.detail
