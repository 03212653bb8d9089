"""Classes and APIs that the configuration names: a cluster without them is refused before anything is registered."""

import os
from pathlib import Path

import pytest

from infra.preflight.checks import PreflightError
from infra.preflight.cluster_state import ClusterState, Reader, Wanted
from infra.preflight.stack_checks import run
from tests.support.program import parsed

PLACE = {"all": {"priorityClassName": "business", "runtimeClassName": "gvisor"}}
GATEWAY: dict[str, object] = {"access": "gateway", "gateway": "infra/public", "host": "manta.test"}
INGRESS: dict[str, object] = {"access": "ingress", "ingressClass": "traefik", "host": "manta.test", "tls": "manta-tls"}


def message(objects: dict[str, list[str]], **changes: object) -> str:
    """The refusal of a cluster that has these objects."""
    with pytest.raises(PreflightError) as error:
        run(parsed(**changes), lambda _reader, _wanted: ClusterState(version="v1.34.4", objects=objects))
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "objects", "reason", "command"),
    [
        (
            {"storageClass": "fast"},
            {"storageclasses": []},
            "storageClass is fast, and the cluster has no such object",
            "pulumi config set storageClass NAME",
        ),
        (
            {"scheduling": PLACE},
            {"priorityclasses": ["low"], "runtimeclasses": ["gvisor"]},
            "scheduling.all.priorityClassName is business",
            "pulumi config set --path 'scheduling.all.priorityClassName' NAME",
        ),
        (
            {"scheduling": PLACE},
            {"priorityclasses": ["business"], "runtimeclasses": []},
            "scheduling.all.runtimeClassName is gvisor",
            "pulumi config set --path 'scheduling.all.runtimeClassName' NAME",
        ),
        (INGRESS, {"ingressclasses": []}, "ingressClass is traefik", "pulumi config set ingressClass NAME"),
        (GATEWAY, {"customresourcedefinitions": []}, "httproutes.gateway", "install the Gateway API"),
        (
            GATEWAY,
            {"gateways.gateway.networking.k8s.io": []},
            "gateway is infra/public, and the cluster has no such object",
            "pulumi config set gateway NAMESPACE/NAME",
        ),
    ],
)
def test_a_missing_object_is_refused_with_its_key_and_the_command_that_corrects_it(
    changes: dict[str, object], objects: dict[str, list[str]], reason: str, command: str
) -> None:
    text = message(objects, **changes)

    assert reason in text
    assert command in text


@pytest.mark.parametrize(
    ("changes", "objects"),
    [
        ({}, {}),
        ({"storageClass": "fast"}, {"storageclasses": ["fast"]}),
        ({"storageClass": "fast"}, {}),
    ],
    ids=["nothing named", "it exists", "it could not be read"],
)
def test_other_clusters_are_accepted(changes: dict[str, object], objects: dict[str, list[str]]) -> None:
    run(parsed(**changes), lambda _reader, _wanted: ClusterState(version="v1.34.4", objects=objects))


def test_kubectl_is_asked_for_the_named_objects_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        """#!/bin/sh
case "$*" in
    */version*) echo '{"gitVersion": "v1.34.4"}' ;;
    *storageclasses*) echo "storageclass.storage.k8s.io/$(echo "$*" | grep -o fast)" ;;
    *"gateways public -n infra "*) echo gateway.gateway.networking.k8s.io/public ;;
    *-o*json*) echo '{"items": []}' ;;
esac
"""
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")

    state = Reader(context="minikube").read(
        Wanted(namespaces=["manta"], secrets={}, objects={"storageclasses": ["fast"], "gateways": ["infra/public"]})
    )

    assert state.objects == {"storageclasses": ["fast"], "gateways": ["infra/public"]}
