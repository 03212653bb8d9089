"""What must be right before `pulumi up`: the tools, the context, room on the nodes, volumes, the namespace, the image.

The sizes of what is not configurable stand here once more, beside those in `infra`; a test compares them.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from app.cli.stack.doctor.checks import AskError, Finding, Kubectl, Status, ask, is_found

TOOLS: Final = {
    "pulumi": "https://www.pulumi.com/docs/install/",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}
BUILDERS: Final = {
    "minikube": ("minikube", "https://minikube.sigs.k8s.io/docs/start/"),
    "docker": ("docker", "https://docs.docker.com/engine/install/"),
}
REQUESTED: Final = {"minikube": Decimal("0.5"), "cloud": Decimal(1)}
"""Share of the Ray pods' limits that is reserved, by `target`."""
HEAD_CPUS_REQUESTED: Final = {"minikube": Decimal("0.2"), "cloud": Decimal(1)}
"""Share of the head's CPUs."""
PARTS: Final = {
    "operator": {"cpu": Decimal("0.1"), "memory": Decimal(128 * 1024**2)},
    "redis": {"cpu": Decimal("0.05"), "memory": Decimal(64 * 1024**2)},
}
"""Cores and bytes that the parts beside Ray reserve; Redis only where it is in the cluster."""
MLFLOW_CPU: Final = Decimal("0.1")
"""Cores that each MLflow server reserves; of its memory it is half."""
AUTOSCALER: Final = {"cpu": Decimal("0.05"), "memory": Decimal(192 * 1024**2)}
"""What the autoscaler beside the head reserves, where the number of workers can change."""
SUFFIXES: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(1000),
    "M": Decimal(1000**2),
    "G": Decimal(1000**3),
    "Ki": Decimal(1024),
    "Mi": Decimal(1024**2),
    "Gi": Decimal(1024**3),
    "Ti": Decimal(1024**4),
}
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
ENFORCED: Final = "pod-security.kubernetes.io/enforce"

Configuration = Mapping[str, str]
Amounts = dict[str, Decimal]


def findings(config: Configuration) -> Iterator[Finding]:
    """Every check that needs no stack to be up.

    Args:
        config: Configuration of the stack with its defaults, without the project's name before each key.
    """
    yield from tools(config)
    context = config.get("context", "")
    yield is_found(bool(context), "context set", context or "none", "pulumi config set context minikube")
    kubectl = Kubectl(context)
    try:
        version = json.loads(kubectl.run("version", "-o", "json"))["serverVersion"]["gitVersion"]
    except AskError as error:
        step = "Name one of `kubectl config get-contexts -o name`, or start the cluster (`minikube start`)."
        yield Finding("cluster", Status.WRONG, f"{context!r} does not answer: {error}", step)
        return
    yield Finding("cluster", Status.OK, f"{context} answers, Kubernetes {version}")
    yield from _room(config, kubectl)
    yield _storage(config, kubectl)
    yield _namespace(config, kubectl)
    yield _image(config, kubectl)


def amount(quantity: str) -> Decimal:
    """Value of a Kubernetes quantity in cores or bytes."""
    digits = quantity.rstrip("KMGTikm")
    return Decimal(digits) * SUFFIXES[quantity[len(digits) :]]


def asked(config: Configuration) -> tuple[Amounts, Amounts]:
    """Cores and bytes that the stack reserves: when it runs, and for the second Ray cluster of an upgrade."""
    share = REQUESTED[config["target"]]
    workers = max(int(config["minWorkers"]), int(config["replicas"]))
    ray = {
        "cpu": HEAD_CPUS_REQUESTED[config["target"]] * amount(config["headCpus"])
        + share * workers * int(config["cpus"]),
        "memory": share * (amount(config["headMemory"]) + workers * amount(config["memory"])),
    }
    if int(config["minWorkers"]) < int(config["maxWorkers"]):
        ray = {kind: ray[kind] + AUTOSCALER[kind] for kind in ray}
    servers = int(config["mlflowReplicas"])
    beside = [PARTS["operator"], {"cpu": servers * MLFLOW_CPU, "memory": servers * amount(config["mlflowMemory"]) / 2}]
    if config["redis"] == "in-cluster":
        beside.append(PARTS["redis"])
    running = {kind: ray[kind] + sum((part[kind] for part in beside), Decimal(0)) for kind in ray}
    return running, ray


def free(nodes: list[dict[str, Any]], pods: list[dict[str, Any]], but: tuple[str, ...]) -> Amounts:
    """Cores and bytes of all nodes that no pod has reserved; pods in the namespaces `but` do not count."""
    left = {
        kind: sum((amount(n["status"]["allocatable"][kind]) for n in nodes), Decimal(0)) for kind in ("cpu", "memory")
    }
    for pod in pods:
        if pod["status"].get("phase") in ("Succeeded", "Failed") or pod["metadata"]["namespace"] in but:
            continue
        for container in pod["spec"]["containers"]:
            for kind, quantity in container.get("resources", {}).get("requests", {}).items():
                if kind in left:
                    left[kind] -= amount(quantity)
    return left


def tools(config: Configuration) -> Iterator[Finding]:
    """Whether the programs that the stack is brought up with are there."""
    builder = BUILDERS.get(config.get("imageBuilder", ""))
    wanted = TOOLS | ({builder[0]: builder[1]} if builder else {})
    for name, page in wanted.items():
        found = shutil.which(name)
        detail = "not on PATH"
        if found:
            try:
                arguments = ("version", "--client") if name == "kubectl" else ("version",)
                detail = ask(name, *arguments).splitlines()[0].removeprefix("Client Version: ")
            except (AskError, IndexError):
                detail = found
        yield is_found(found is not None, name, detail, f"Install it: {page}")


def _room(config: Configuration, kubectl: Kubectl) -> Iterator[Finding]:
    """Whether the stack fits, alone and during an upgrade; what is there of it already does not count as taken."""
    ours = (config["namespace"], f"{config['namespace']}-operator")
    try:
        left = free(kubectl.items("nodes"), kubectl.items("pods", "--all-namespaces"), ours)
    except AskError as error:
        yield Finding("room", Status.UNSURE, f"nodes and pods cannot be listed: {error}", "Ask who runs the cluster.")
        return
    running, upgrade = asked(config)
    for check, wanted in (
        ("room", running),
        ("room for an upgrade", {kind: running[kind] + upgrade[kind] for kind in running}),
    ):
        detail = (
            f"{left['cpu']:.2f} CPUs and {left['memory'] / 1024**3:.1f} GiB are free, "
            f"{wanted['cpu']:.2f} and {wanted['memory'] / 1024**3:.1f} are asked for"
        )
        fits = all(wanted[kind] <= left[kind] for kind in wanted)
        yield is_found(fits, check, detail, "pulumi config set maxWorkers 1, or take a larger node")


def _storage(config: Configuration, kubectl: Kubectl) -> Finding:
    wanted = config.get("storageClass", "")
    try:
        classes = {item["metadata"]["name"]: item["metadata"] for item in kubectl.items("storageclasses")}
    except AskError as error:
        return Finding("storage class", Status.UNSURE, str(error))
    default = [name for name, meta in classes.items() if meta.get("annotations", {}).get(DEFAULT_CLASS) == "true"]
    if wanted:
        step = f"pulumi config set storageClass {next(iter(classes), 'NAME')}"
        return is_found(wanted in classes, "storage class", f"{wanted}, of {', '.join(classes) or 'none'}", step)
    step = "Make one the default, or: pulumi config set storageClass NAME"
    return is_found(bool(default), "storage class", f"default is {', '.join(default) or 'none'}", step)


def _namespace(config: Configuration, kubectl: Kubectl) -> Finding:
    """Whether the namespace can be made, or is one that enforces `restricted`."""
    name = config["namespace"]
    try:
        found = [item for item in kubectl.items("namespaces") if item["metadata"]["name"] == name]
        if not found:
            may = kubectl.run("auth", "can-i", "create", "namespaces").strip() == "yes"
            return is_found(may, "pod security", f"{name} will be made", "Ask for the right to create namespaces.")
    except AskError as error:
        return Finding("pod security", Status.UNSURE, str(error), "Ask for the right to create namespaces.")
    level = found[0]["metadata"].get("labels", {}).get(ENFORCED, "nothing")
    step = f"If {name} is somebody else's: pulumi config set namespace NAME. If it is this stack's: pulumi up"
    return is_found(level == "restricted", "pod security", f"{name} exists and enforces {level}", step)


def _image(config: Configuration, kubectl: Kubectl) -> Finding:
    builder, image = config["imageBuilder"], config.get("image", "")
    if builder != "prebuilt":
        return Finding("image", Status.OK, f"built by {builder} at `pulumi up`")
    if not image:
        return Finding("image", Status.WRONG, "none is named", "pulumi config set image REGISTRY/manta-ray:TAG")
    held = {
        name for node in kubectl.items("nodes") for one in node["status"].get("images", []) for name in one["names"]
    }
    if image in held or any(name.endswith(f"/{image}") for name in held):
        return Finding("image", Status.OK, f"{image} is on a node")
    return Finding(
        "image", Status.UNSURE, f"{image} is on no node yet", f"See that it can be pulled: docker pull {image}"
    )
