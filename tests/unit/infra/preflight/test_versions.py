"""Which of two CRDs is newer: by its annotation, by an operator in the cluster, or by its fields."""

from typing import TypedDict

import pytest

from infra.preflight import checks, versions
from infra.preflight.checks import PreflightError
from infra.preflight.cluster_state import ClusterState
from infra.preflight.versions import Product
from tests.support.json_object import JsonObject
from tests.support.kubernetes_objects import operator
from tests.support.program import Program, crd

CRD = "rayservices.ray.io"


class Source(TypedDict):
    """Product and version of a chart."""

    product: Product
    version: str


KUBERAY = Source(product=versions.KUBERAY, version="1.7.0")


def spec(*fields: str) -> JsonObject:
    """Spec of a CRD with one version."""
    properties = {name: {"type": "object", "properties": {"inner": {"type": "string"}}} for name in fields}
    return {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"properties": properties}}}]}


def installed(*fields: str, version: str = "") -> JsonObject:
    annotations = {versions.KUBERAY.annotation: version} if version else {}
    return {"metadata": {"name": CRD, "annotations": annotations}, "spec": spec(*fields)}


@pytest.mark.parametrize(
    ("text", "numbers"), [("v1.34.4-gke.100", (1, 34, 4)), ("1.7", (1, 7, 0)), ("nightly", None), ("", None)]
)
def test_a_version_is_its_numbers(text: str, numbers: tuple[int, ...] | None) -> None:
    assert versions.parse(text) == numbers


@pytest.mark.parametrize(("there", "newer"), [("1.8.0", "1.8.0"), ("1.7.0", ""), ("1.6.2", ""), ("1.10.0", "1.10.0")])
def test_the_annotation_of_this_project_decides(there: str, newer: str) -> None:
    crd = installed("old", version=there)

    assert versions.newer_crd(crd, spec("other"), **KUBERAY, operators=[operator(tag="v9.9.9")]) == newer


def test_without_the_annotation_the_operator_in_the_cluster_decides() -> None:
    operators = [operator(tag="v1.6.0"), operator(tag="v1.8.1@sha256:abc")]

    assert versions.newer_crd(installed("a"), spec("a", "b"), **KUBERAY, operators=operators) == "1.8.1"


def test_without_an_operator_the_fields_decide() -> None:
    older, newer = installed("a"), installed("a", "later")

    assert versions.newer_crd(older, spec("a", "b"), **KUBERAY) == ""
    text = versions.newer_crd(newer, spec("a"), **KUBERAY)
    assert text == "a version with the field v1:.later"


def test_newer_crds_are_never_replaced_and_the_refusal_names_both_versions() -> None:
    state = ClusterState(crds={CRD: installed("a", version="1.8.0")})

    with pytest.raises(PreflightError) as error:
        checks.check_crds({CRD: spec("a")}, state, **KUBERAY)

    assert "in the cluster is of KubeRay 1.8.0, and the chart of this stack is of 1.7.0" in str(error.value)
    assert "pulumi config set installCrds false" in str(error.value)


def test_the_program_refuses_older_crds_and_marks_its_own_with_their_version(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = crd(CRD) | {"metadata": {"name": CRD, "annotations": {versions.KUBERAY.annotation: "1.9.0"}}}
    plain = program.deploy(cpus=5)
    monkeypatch.setattr(program, "cluster", ClusterState(crds={CRD: newer}))

    with pytest.raises(PreflightError, match=r"KubeRay 1\.9\.0, and the chart of this stack is of 1\.7\.0"):
        program.deploy(cpus=6)

    for item in program.crds(plain):
        assert item["metadata"]["annotations"][versions.KUBERAY.annotation] == "1.7.0"
