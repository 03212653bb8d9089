"""Checks of `manta doctor` whether the cluster has room for the stack.

`app` must not import `infra`, so the resource requests that are not configurable are repeated here. A test compares
them with the resources that `infra` creates.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, TypeVar

from app.cli.json_object import JsonObject
from app.cli.stack.doctor import cluster_fit
from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail
from app.cli.stack.programs import Kubectl, ProgramError
from app.errors import ParameterError

REQUEST_SHARE: Final = {"minikube": Decimal("0.5"), "cloud": Decimal(1)}
"""Share of the Ray pods' limits that they request, by `target`."""
HEAD_CPU_REQUEST_SHARE: Final = {"minikube": Decimal("0.2"), "cloud": Decimal(1)}
"""Share of the head's CPU limit that it requests, by `target`."""
OPERATOR_REQUEST: Final = {"cpu": Decimal("0.1"), "memory": Decimal(128 * 1024**2)}
REDIS_REQUEST: Final = {"cpu": Decimal("0.05"), "memory": Decimal(64 * 1024**2)}
AUTOSCALER_REQUEST: Final = {"cpu": Decimal("0.05"), "memory": Decimal(192 * 1024**2)}
"""Request of the autoscaler container in the head pod. It exists if `minWorkers` is below `maxWorkers`."""
PROMETHEUS_REQUEST: Final = {"cpu": Decimal("0.4"), "memory": Decimal(1120 * 1024**2)}
"""Request of what `monitoring: install` installs: Prometheus, its operator, kube-state-metrics and Grafana."""
MLFLOW_CPU_REQUEST: Final = Decimal("0.1")
"""CPU request of each MLflow server. Its memory request is half of its limit."""
QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?:[eE](?P<exponent>[+-]?\d+)|(?P<suffix>[numkMGTPE]|[KMGTPE]i))?"
)
SUFFIX_FACTORS: Final = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(["n", "u", "m", "", *"kMGTPE"], start=-3)},
    **{f"{prefix}i": Decimal(1024) ** power for power, prefix in enumerate("KMGTPE", start=1)},
}
"""Suffixes of quantities: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""

Configuration = Mapping[str, str]
Resources = dict[str, Decimal]
"""Cores by the key `cpu`, bytes by the key `memory`."""

Value = TypeVar("Value")


def check_room(configuration: Configuration, kubectl: Kubectl) -> Iterator[CheckResult]:
    """Check that the stack fits, alone and during an upgrade. Pods that the stack already has do not count."""
    namespace = configuration["namespace"]
    namespaces = (namespace, cluster_fit.operator_namespace(configuration), f"{namespace}-monitoring")
    try:
        nodes, pods = kubectl.items("nodes"), kubectl.items("pods", "--all-namespaces")
    except ProgramError as error:
        next_step = "Ask the administrator of the cluster how much is free."
        yield CheckResult("room", Status.UNSURE, f"nodes and pods cannot be listed: {error}", next_step)
        return
    try:
        stack, second_ray_cluster = requested_resources(configuration)
    except ParameterError as error:
        yield CheckResult("room", Status.WRONG, error.detail, error.next_step)
        return
    free = free_resources(nodes, pods, ignored_namespaces=namespaces)
    for check, requested in (("room", stack), ("room for an upgrade", _sum([stack, second_ray_cluster]))):
        detail = (
            f"{free['cpu']:.2f} CPUs and {free['memory'] / 1024**3:.1f} GiB are free, "
            f"{requested['cpu']:.2f} CPUs and {requested['memory'] / 1024**3:.1f} GiB are needed"
        )
        next_step = "pulumi config set maxWorkers 1, or add larger nodes"
        yield pass_or_fail(check, detail, next_step, has_passed=all(requested[kind] <= free[kind] for kind in free))


def parse_quantity(quantity: str) -> Decimal:
    """Value of a Kubernetes quantity, in cores or bytes.

    Raises:
        ValueError: The text is not a quantity.
    """
    match = QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a Kubernetes quantity")
    factor = Decimal(10) ** int(match["exponent"]) if match["exponent"] else SUFFIX_FACTORS[match["suffix"] or ""]
    return Decimal(match["number"]) * factor


def requested_resources(configuration: Configuration) -> tuple[Resources, Resources]:
    """Compute the resources that a stack requests.

    Returns:
        The requests of the whole stack, and the requests of the second Ray cluster that runs during an upgrade.

    Raises:
        ParameterError: A value of the configuration is invalid.
    """
    share = _value(configuration, "target", REQUEST_SHARE.__getitem__)
    head_share = HEAD_CPU_REQUEST_SHARE[configuration["target"]]
    min_workers = _value(configuration, "minWorkers", int)
    workers = max(min_workers, _value(configuration, "replicas", int))
    worker_cpus = workers * _value(configuration, "cpus", int)
    worker_memory = workers * _value(configuration, "memory", parse_quantity)
    ray = {
        "cpu": head_share * _value(configuration, "headCpus", parse_quantity) + share * worker_cpus,
        "memory": share * (_value(configuration, "headMemory", parse_quantity) + worker_memory),
    }
    groups = list(job_groups(configuration))
    for group in groups:
        ray = _sum([ray, {kind: share * group.min_workers * amount for kind, amount in group.size.items()}])
    is_autoscaled = min_workers < _value(configuration, "maxWorkers", int)
    if is_autoscaled or any(group.min_workers < group.max_workers for group in groups):
        ray = _sum([ray, AUTOSCALER_REQUEST])
    servers = _value(configuration, "mlflowReplicas", int)
    mlflow = {
        "cpu": servers * MLFLOW_CPU_REQUEST,
        "memory": servers * _value(configuration, "mlflowMemory", parse_quantity) / 2,
    }
    redis = [REDIS_REQUEST] if configuration["redis"] == "in-cluster" else []
    prometheus_stack = [PROMETHEUS_REQUEST] if configuration.get("monitoring") == "install" else []
    return _sum([ray, OPERATOR_REQUEST, mlflow, *redis, *prometheus_stack]), ray


@dataclass(frozen=True)
class JobGroup:
    """A group of workers that only run jobs."""

    size: Resources
    """Limits of a worker."""
    min_workers: int
    max_workers: int


def job_groups(configuration: Configuration) -> Iterator[JobGroup]:
    """Yield the groups of `trainWorkers` and `workerGroups`."""
    if train_workers := int(configuration.get("trainWorkers", "0")):
        cpus = _value(configuration, "trainCpus", int) or _value(configuration, "cpus", int)
        memory = "trainMemory" if configuration["trainMemory"] else "memory"
        size = {"cpu": Decimal(cpus), "memory": _value(configuration, memory, parse_quantity)}
        yield JobGroup(size, _value(configuration, "trainMinWorkers", int), train_workers)
    for group in json.loads(configuration.get("workerGroups") or "[]"):
        size = {"cpu": Decimal(group.get("cpus", 1)), "memory": parse_quantity(str(group.get("memory", "2Gi")))}
        yield JobGroup(size, int(group.get("minWorkers", 0)), int(group.get("maxWorkers", 1)))


def free_resources(
    nodes: list[JsonObject], pods: list[JsonObject], *, ignored_namespaces: tuple[str, ...]
) -> Resources:
    """Compute the resources of all nodes that no pod requests.

    Args:
        nodes: The nodes, as the API server returns them.
        pods: All pods, as the API server returns them.
        ignored_namespaces: Namespaces whose pods do not count.
    """
    free = _sum(
        {kind: parse_quantity(node["status"]["allocatable"][kind]) for kind in ("cpu", "memory")} for node in nodes
    )
    for pod in pods:
        has_ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        if has_ended or pod["metadata"]["namespace"] in ignored_namespaces:
            continue
        for container in pod["spec"]["containers"]:
            for kind, quantity in container.get("resources", {}).get("requests", {}).items():
                if kind in free:
                    free[kind] -= parse_quantity(quantity)
    return free


def _value(configuration: Configuration, key: str, parse: Callable[[str], Value]) -> Value:
    """Parse a value of the configuration.

    Raises:
        ParameterError: The value is invalid.
    """
    try:
        return parse(configuration[key])
    except (KeyError, ValueError) as error:
        raise ParameterError(
            f"the value {configuration[key]!r} of the key {key} is invalid", next_step=f"pulumi config set {key} VALUE"
        ) from error


def _sum(resources: Iterable[Resources]) -> Resources:
    terms = list(resources)
    return {kind: sum((term[kind] for term in terms), Decimal(0)) for kind in ("cpu", "memory")}
