"""Decides whether the stack may use the cluster: its version, other KubeRay operators, namespaces and Secrets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from infra import labels, names
from infra.config.sharing_options import SharingOptions
from infra.preflight import named_objects, versions
from infra.preflight.cluster_state import PROMETHEUS_CRD, ClusterState, KubernetesObject
from infra.preflight.named_objects import NamedObject
from infra.preflight.versions import Product

MIN_KUBERNETES: Final = (1, 27)
"""The first version with `unhealthyPodEvictionPolicy` of budgets and `timeZone` of CronJobs, which the stack uses."""
MIN_OPERATOR: Final = (1, 6, 2)
"""Earlier operators do not delete a RayService with GCS fault tolerance reliably."""


class PreflightError(pulumi.RunError):
    """The cluster cannot hold the stack. The message names the command that corrects each reason."""


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """What the stack expects of the cluster."""

    namespace: str
    sharing: SharingOptions
    secrets: Mapping[str, Sequence[str]]
    """Names of the existing Secrets that the configuration names, by namespace."""
    objects: Sequence[NamedObject] = ()
    """Further objects that the configuration names."""
    monitoring_namespace: str = ""
    """Namespace of the stack's own Prometheus; empty if it installs none."""

    @property
    def operator_namespace(self) -> str:
        """Namespace of the operator."""
        return self.sharing.operator_namespace_of(self.namespace)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that the stack creates or uses."""
        operator = self.operator_namespace if self.sharing.install_operator else ""
        return [name for name in (self.namespace, operator, self.monitoring_namespace) if name]


def check(state: ClusterState, expected: Expectations) -> None:
    """Refuse a cluster that cannot hold the stack. What could not be read is a warning.

    Raises:
        PreflightError: The cluster is too old, another operator would manage the stack's Ray clusters, or a namespace
            or a Secret is missing.
    """
    for error in state.errors:
        pulumi.log.warn(f"The cluster could not be checked completely: {error}. Run `manta doctor` to see more.")
    problems = list(_problems(state, expected))
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise PreflightError(f"This cluster cannot hold the stack:\n{lines}")


def check_crds(specs: Mapping[str, Mapping[str, Any]], state: ClusterState, *, product: Product, version: str) -> None:
    """Refuse to replace newer CRDs: an older CRD makes the API server drop the fields that it does not know.

    Args:
        specs: Specs of the chart's CRDs by name.
        state: The CRDs and the operators in the cluster.
        product: The product of the CRDs.
        version: Version of the chart.

    Raises:
        PreflightError: A CRD in the cluster is newer.
    """
    for name, spec in specs.items():
        installed = (state.crds or {}).get(name)
        if installed is None:
            continue
        operators = (state.operators or []) if product == versions.KUBERAY else []
        newer = versions.newer_crd(installed, spec, product=product, version=version, operators=operators)
        if newer:
            raise PreflightError(
                f"The CRD {name} in the cluster is of {product.name} {newer}, and the chart of this stack is of "
                f"{version or 'an unknown version'}: an older CRD would delete fields of the {product.objects} of "
                f"others. {product.alternative}, or a newer chart: pulumi config set {product.version_key} VERSION"
            )


def _problems(state: ClusterState, expected: Expectations) -> Iterator[str]:
    yield from _version(state)
    yield from named_objects.problems(expected.objects, state)
    if state.operators is not None:
        yield from _operators(state.operators, expected)
    if state.crds is not None and expected.monitoring_namespace:
        yield from _prometheus(state.crds)
    if state.namespaces is not None:
        yield from _namespaces(state.namespaces, expected)
        yield from _secrets(state, state.namespaces, expected)
    if state.crds is not None and not expected.sharing.install_crds:
        missing = {"rayclusters.ray.io", "rayservices.ray.io"} - set(state.crds)
        if missing:
            yield (
                f"the CRDs {', '.join(sorted(missing))} do not exist, and installCrds is false. "
                "Install them with the operator of the cluster, or: pulumi config set installCrds true"
            )


def _version(state: ClusterState) -> Iterator[str]:
    version = versions.parse(state.version or "")
    if version is not None and version < MIN_KUBERNETES:
        minimum = ".".join(map(str, MIN_KUBERNETES))
        yield f"its Kubernetes is {state.version}; the stack needs {minimum} or newer. Upgrade the cluster"


def _operators(operators: Sequence[KubernetesObject], expected: Expectations) -> Iterator[str]:
    foreign = [operator for operator in operators if not _is_own(operator, expected)]
    watching = [operator for operator in foreign if watches(operator, expected.namespace)]
    if expected.sharing.install_operator:
        for operator in watching:
            place, tag = operator["metadata"]["namespace"], versions.operator_version(operator)
            yield (
                f"the KubeRay operator {tag} in the namespace {place} watches {expected.namespace} too, and two "
                "operators would change the same Ray clusters. Use that operator: pulumi config set installOperator "
                f"false && pulumi config set installCrds false && pulumi config set operatorNamespace {place}"
            )
        return
    if not watching:
        yield (
            f"installOperator is false, and no KubeRay operator watches {expected.namespace}. "
            "Install one: pulumi config set installOperator true && pulumi config set installCrds true"
        )
    for operator in watching:
        text = versions.operator_version(operator)
        version = versions.parse(text)
        if version is not None and version < MIN_OPERATOR:
            minimum = ".".join(map(str, MIN_OPERATOR))
            place = operator["metadata"]["namespace"]
            yield f"the KubeRay operator in {place} is {text}; the stack needs {minimum} or newer. Upgrade the operator"


def _prometheus(crds: Mapping[str, KubernetesObject]) -> Iterator[str]:
    """A Prometheus operator that this project did not install."""
    crd = crds.get(PROMETHEUS_CRD)
    if crd is not None and versions.PROMETHEUS.annotation not in (crd["metadata"].get("annotations") or {}):
        yield (
            f"monitoring is install, and the cluster has the CRD {PROMETHEUS_CRD} of another Prometheus operator. Use "
            "its Prometheus: pulumi config set monitoring existing && pulumi config set monitoringNamespace NAMESPACE. "
            f"If no operator uses the CRD any more: kubectl delete crd {PROMETHEUS_CRD}"
        )


def _is_own(operator: KubernetesObject, expected: Expectations) -> bool:
    """Whether the operator belongs to this stack, or did while the stack still installed an operator."""
    metadata = operator["metadata"]
    own = {expected.operator_namespace} if expected.sharing.install_operator else set()
    own.add(names.operator_namespace(expected.namespace))
    return metadata["name"] == names.OPERATOR and metadata["namespace"] in own


def watches(operator: KubernetesObject, namespace: str) -> bool:
    """Whether an operator manages the Ray clusters of a namespace: without `--watch-namespace` it manages all."""
    arguments = operator["spec"]["template"]["spec"]["containers"][0].get("args") or []
    for index, argument in enumerate(arguments):
        name, _, value = str(argument).lstrip("-").partition("=")
        if name == "watch-namespace":
            value = value or (str(arguments[index + 1]) if index + 1 < len(arguments) else "")
            return namespace in value.split(",") if value else True
    return True


def _namespaces(namespaces: Mapping[str, KubernetesObject], expected: Expectations) -> Iterator[str]:
    for name in expected.namespaces:
        existing = namespaces.get(name)
        existing_labels = ((existing or {}).get("metadata") or {}).get("labels") or {}
        is_created = labels.of(names.PART_OF).items() <= existing_labels.items()
        if expected.sharing.create_namespaces and existing is not None and not is_created:
            yield (
                f"the namespace {name} exists, and the stack did not create it. "
                "Use it as it is: pulumi config set createNamespaces false"
            )
        if not expected.sharing.create_namespaces and existing is None:
            yield f"the namespace {name} does not exist, and createNamespaces is false: kubectl create namespace {name}"
        if not expected.sharing.create_namespaces and is_created:
            yield (
                f"the stack created the namespace {name}, and Pulumi would delete it with all that it holds. "
                "Keep it: pulumi config set createNamespaces true"
            )


def _secrets(state: ClusterState, namespaces: Mapping[str, KubernetesObject], expected: Expectations) -> Iterator[str]:
    for namespace, wanted in expected.secrets.items():
        missing = [name for name in wanted if name not in state.secrets.get(namespace, ())]
        if not missing or (namespace in namespaces and namespace not in state.secrets):
            continue
        first = f"kubectl create namespace {namespace} && " if namespace not in namespaces else ""
        then = " && pulumi config set createNamespaces false" if first else ""
        for name in missing:
            yield (
                f"the configuration names the Secret {name}, which does not exist in the namespace {namespace}. "
                f"Create it: {first}kubectl create secret generic {name} -n {namespace} --from-literal=KEY=VALUE{then}"
            )
