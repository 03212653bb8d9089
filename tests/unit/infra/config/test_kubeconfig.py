"""The check of the target: which contexts are local, and which targets the program refuses."""

from pathlib import Path

import pytest
import yaml

from infra.config import kubeconfig
from infra.config.kubeconfig import Context, TargetError
from tests.support import engine
from tests.support.program import SERVERS, Program, config
from tests.support.program import kubeconfig as kubeconfig_text

MINIKUBE = """
contexts:
- name: work
  context:
    cluster: work
    extensions:
    - name: context_info
      extension: {provider: minikube.sigs.k8s.io, version: v1.37.0}
clusters:
- name: work
  cluster: {server: "https://192.168.49.2:8443"}
"""


def context(name: str, server: str = "https://cloud.example.com") -> Context:
    return Context(name=name, server=server, is_minikube=False)


@pytest.mark.parametrize(
    "name", ["minikube", "kind-dev", "k3d-dev", "docker-desktop", "rancher-desktop", "colima", "orbstack"]
)
def test_contexts_of_local_tools_are_local(name: str) -> None:
    assert kubeconfig.is_local(context(name))


@pytest.mark.parametrize(
    "server", ["https://127.0.0.1:6443", "https://[::1]:6443", "https://localhost:16443", "https://127.9.9.9"]
)
def test_a_loopback_address_is_local(server: str) -> None:
    assert kubeconfig.is_local(context("any", server))


@pytest.mark.parametrize(
    "server",
    ["https://10.77.0.2:6443", "https://172.16.0.2", "https://192.168.1.9:6443", "https://x.eks.aws"],
)
def test_a_private_or_public_address_proves_nothing(server: str) -> None:
    assert not kubeconfig.is_local(context("any", server))


@pytest.mark.parametrize("name", ["my-minikube-copy", "kindness", "prod-k3d-"])
def test_a_name_that_only_contains_a_local_name_is_not_local(name: str) -> None:
    assert not kubeconfig.is_local(context(name))


def test_a_minikube_profile_is_local_by_its_extension() -> None:
    profile = kubeconfig.find([kubeconfig.parse(MINIKUBE)], "work")

    assert kubeconfig.is_local(profile)


def test_a_context_named_in_local_contexts_is_local() -> None:
    assert kubeconfig.is_local(context("lab", "https://10.77.0.2"), also=["lab"])


def test_several_files_are_searched_and_the_first_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(kubeconfig_text({"both": "https://first"}))
    second.write_text(kubeconfig_text({"both": "https://second", "other": "https://other"}, current="other"))

    documents = kubeconfig.read([first, tmp_path / "missing", second])

    assert kubeconfig.find(documents, "both").server == "https://first"
    assert kubeconfig.find(documents, "").name == "other"


@pytest.mark.parametrize(("text", "message"), [("{", "not YAML"), ("", "empty")])
def test_a_text_that_is_not_a_kubeconfig_is_refused(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        kubeconfig.parse(text)


WRONG_TARGETS: list[tuple[str, dict[str, object], str]] = [
    ("dev", {"context": "manta-prod"}, r"is minikube, but .*manta-prod.*localContexts\[0\]"),
    ("dev", {"context": "private"}, "is minikube, but .*10.77.0.2"),
    ("dev", {"context": "nowhere"}, "no context 'nowhere'. Its contexts: loopback, manta-prod, minikube, private"),
    ("prod", {"context": "minikube"}, "is cloud, but.*pulumi stack select dev"),
    ("prod", {"context": "loopback"}, "is cloud, but"),
    ("prod", {"localContexts": ["manta-prod"]}, "is cloud, but"),
    ("dev", {"kubeconfig": kubeconfig_text({"minikube": "https://x"}), "context": "other"}, "no context 'other'"),
]


@pytest.mark.parametrize(("stack", "changes", "message"), WRONG_TARGETS)
def test_a_wrong_target_is_refused_before_any_resource_is_registered(
    program: Program, monkeypatch: pytest.MonkeyPatch, stack: str, changes: dict[str, object], message: str
) -> None:
    registered: list[str] = []
    monkeypatch.setattr(engine, "_registered", lambda urn, _request: registered.append(urn))

    with pytest.raises(TargetError, match=message):
        program.deploy(stack, **changes)

    assert registered == []


@pytest.mark.parametrize("changes", [{"context": "loopback"}, {"context": "private", "localContexts": ["private"]}])
def test_the_providers_use_the_configured_context(program: Program, changes: dict[str, object]) -> None:
    record = program.deploy(**changes)

    for provider in record.of_type("pulumi:providers:kubernetes"):
        assert provider.inputs["context"] == changes["context"]
        assert provider.inputs["clusterIdentifier"] == changes["context"]
    assert record.outputs["context"] == changes["context"]


def test_a_renamed_context_of_a_cloud_cluster_replaces_nothing(program: Program) -> None:
    identifiers = set()
    for name in ("manta-prod", "renamed"):
        content = kubeconfig_text({name: "https://prod.example.com"})
        record = program.deploy("prod", context=name, kubeconfig=content)
        identifiers.add(record.resource("pulumi:providers:kubernetes", "cluster").inputs["clusterIdentifier"])

    assert identifiers == {"https://prod.example.com"}


def test_the_cluster_stack_may_export_its_kubeconfig_as_an_object(program: Program) -> None:
    record = program.deploy("prod", clusterStack="org/eks/prod", context="")

    content = record.resource("pulumi:providers:kubernetes", "cluster").inputs["kubeconfig"]
    assert yaml.safe_load(content) == yaml.safe_load(kubeconfig_text(SERVERS, current="manta-prod"))
    assert record.outputs["context"] == "manta-prod"


def test_changed_secrets_and_config_maps_are_updated_in_place(program: Program) -> None:
    provider = program.deploy().resource("pulumi:providers:kubernetes", "cluster")

    assert provider.inputs["enableSecretMutable"] == "true"
    assert provider.inputs["enableConfigMapMutable"] == "true"


def test_a_kubeconfig_from_the_configuration_stays_secret(program: Program) -> None:
    content = kubeconfig_text({"manta-prod": "https://prod.example.com"})

    provider = program.deploy("prod", kubeconfig=content).resource("pulumi:providers:kubernetes", "cluster")

    assert provider.inputs["kubeconfig"] == content
    assert provider.public["kubeconfig"] == engine.HIDDEN


def test_the_kubeconfig_and_the_context_come_from_the_cluster_stack(program: Program) -> None:
    record = program.deploy("prod", clusterStack="org/platform/prod", context="")

    provider = record.resource("pulumi:providers:kubernetes", "cluster")
    assert provider.inputs["kubeconfig"] == kubeconfig_text(SERVERS, current="manta-prod")
    assert provider.inputs["clusterIdentifier"] == "org/platform/prod"
    assert record.outputs["context"] == "manta-prod"


def test_a_local_cluster_of_the_cluster_stack_is_refused_for_a_cloud_target(program: Program) -> None:
    with pytest.raises(TargetError, match="is cloud, but"):
        program.deploy("prod", clusterStack="org/platform/prod", context="minikube")


def test_the_test_configuration_contains_the_changes() -> None:
    assert config("dev", {"context": "a"})["manta:context"] == "a"
