"""Checks of `manta doctor` before `pulumi up`: tools, context, StorageClass, namespace and image."""

import json
import shutil
from collections.abc import Iterator, Mapping
from typing import Final

from app.cli.stack.doctor import cluster_fit, prometheus, resources
from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail
from app.cli.stack.programs import Kubectl, ProgramError, run_program

TOOLS: Final = {
    "pulumi": "https://www.pulumi.com/docs/install/",
    "kubectl": "https://kubernetes.io/docs/tasks/tools/",
}
"""Programs that every stack needs, and their installation pages."""
BUILDER_TOOLS: Final = {
    "minikube": ("minikube", "https://minikube.sigs.k8s.io/docs/start/"),
    "docker": ("docker", "https://docs.docker.com/engine/install/"),
}
"""Program that each `imageBuilder` needs, and its installation page."""
DEFAULT_CLASS_ANNOTATION: Final = "storageclass.kubernetes.io/is-default-class"
ENFORCE_LABEL: Final = "pod-security.kubernetes.io/enforce"

Configuration = Mapping[str, str]


def run_checks(configuration: Configuration) -> Iterator[CheckResult]:
    """Run every check that does not need a stack that is up.

    Args:
        configuration: Configuration of the stack with its defaults, by key without the prefix `manta:`.
    """
    yield from check_tools(configuration)
    context = configuration.get("context", "")
    next_step = "pulumi config set context minikube"
    yield pass_or_fail("context set", context or "none", next_step, has_passed=bool(context))
    kubectl = Kubectl(context)
    try:
        version = json.loads(kubectl.run("version", "-o", "json"))["serverVersion"]["gitVersion"]
    except ProgramError as error:
        next_step = "Choose a context from `kubectl config get-contexts -o name`, or start the cluster: minikube start"
        yield CheckResult("cluster", Status.WRONG, f"{context!r} does not answer: {error}", next_step)
        return
    yield CheckResult("cluster", Status.OK, f"{context} answers, Kubernetes {version}")
    yield from cluster_fit.run_checks(configuration, kubectl, version=version)
    yield from resources.check_room(configuration, kubectl)
    yield _check_storage_class(configuration, kubectl)
    yield check_namespace(configuration, kubectl)
    yield _check_image(configuration, kubectl)
    yield from prometheus.run_checks(configuration, kubectl)


def check_tools(configuration: Configuration) -> Iterator[CheckResult]:
    """Check that the programs for `pulumi up` are installed."""
    builder = BUILDER_TOOLS.get(configuration.get("imageBuilder", ""))
    for tool, page in (TOOLS | (dict([builder]) if builder else {})).items():
        path = shutil.which(tool)
        detail = "not on PATH"
        if path:
            try:
                arguments = ("version", "--client") if tool == "kubectl" else ("version",)
                detail = run_program(tool, *arguments).splitlines()[0].removeprefix("Client Version: ")
            except (ProgramError, IndexError):
                detail = path
        yield pass_or_fail(tool, detail, f"Install it: {page}", has_passed=path is not None)


def _check_storage_class(configuration: Configuration, kubectl: Kubectl) -> CheckResult:
    configured = configuration.get("storageClass", "")
    try:
        classes = {item["metadata"]["name"]: item["metadata"] for item in kubectl.items("storageclasses")}
    except ProgramError as error:
        return CheckResult("storage class", Status.UNSURE, str(error))
    if configured:
        next_step = f"pulumi config set storageClass {next(iter(classes), 'NAME')}"
        detail = f"{configured}, of {', '.join(classes) or 'none'}"
        return pass_or_fail("storage class", detail, next_step, has_passed=configured in classes)
    defaults = [
        name
        for name, metadata in classes.items()
        if metadata.get("annotations", {}).get(DEFAULT_CLASS_ANNOTATION) == "true"
    ]
    next_step = "Make a StorageClass the default, or: pulumi config set storageClass NAME"
    detail = f"default is {', '.join(defaults) or 'none'}"
    return pass_or_fail("storage class", detail, next_step, has_passed=bool(defaults))


def check_namespace(configuration: Configuration, kubectl: Kubectl) -> CheckResult:
    """Check that the namespace can be created, or exists and enforces the Pod Security Standard `restricted`."""
    name = configuration["namespace"]
    ask_for_permission = "Ask for the permission to create namespaces."
    is_created = configuration["createNamespaces"] == "true"
    try:
        existing = [item for item in kubectl.items("namespaces") if item["metadata"]["name"] == name]
        if not existing and not is_created:
            detail = f"{name} does not exist, and createNamespaces is false"
            return CheckResult("pod security", Status.WRONG, detail, f"kubectl create namespace {name}")
        if not existing:
            is_allowed = kubectl.run("auth", "can-i", "create", "namespaces").strip() == "yes"
            detail = f"{name} will be created"
            return pass_or_fail("pod security", detail, ask_for_permission, has_passed=is_allowed)
    except ProgramError as error:
        return CheckResult("pod security", Status.UNSURE, str(error), ask_for_permission)
    level = existing[0]["metadata"].get("labels", {}).get(ENFORCE_LABEL, "nothing")
    next_step = (
        f"If {name} belongs to something else: pulumi config set namespace NAME. If it belongs to this stack: pulumi up"
    )
    detail = f"{name} exists and enforces {level}"
    return pass_or_fail("pod security", detail, next_step, has_passed=level == "restricted" or not is_created)


def _check_image(configuration: Configuration, kubectl: Kubectl) -> CheckResult:
    """Check that a prebuilt image is named and is on a node. Whether it can be pulled cannot be checked here."""
    builder, image = configuration["imageBuilder"], configuration.get("image", "")
    if builder != "prebuilt":
        return CheckResult("image", Status.OK, f"built by {builder} during `pulumi up`")
    if not image:
        next_step = "pulumi config set image REGISTRY/manta-ray:TAG"
        return CheckResult("image", Status.WRONG, "no image is configured", next_step)
    images_on_nodes = {
        name
        for node in kubectl.items("nodes")
        for node_image in node["status"].get("images", [])
        for name in node_image["names"]
    }
    if image in images_on_nodes or any(name.endswith(f"/{image}") for name in images_on_nodes):
        return CheckResult("image", Status.OK, f"{image} is on a node")
    next_step = f"Check that it can be pulled: docker pull {image}"
    return CheckResult("image", Status.UNSURE, f"{image} is on no node yet", next_step)
