"""References of published container images, with the mirror and the replacements of the stack."""

from pulumi_kubernetes import core

from infra import versions
from infra.config.image_options import ImageOptions


def resolve(image: versions.ImagePin, *, replacement: str, mirror: str) -> str:
    """Reference of a published image: the replacement, else the pin in the mirror or in its registry."""
    return replacement or f"{mirror or image.registry}/{image.repository}:{image.tag}"


def operator(images: ImageOptions) -> str:
    """Image of the KubeRay operator."""
    return resolve(versions.OPERATOR_IMAGE, replacement=images.operator_image, mirror=images.image_registry)


def redis(images: ImageOptions) -> str:
    """Image of Redis."""
    return resolve(versions.REDIS_IMAGE, replacement=images.redis_image, mirror=images.image_registry)


def ray(images: ImageOptions) -> str | None:
    """Image of Ray with `imageBuilder: prebuilt`; None if the stack builds the image."""
    return images.image if images.image_builder == "prebuilt" else None


def mlflow(images: ImageOptions) -> str | None:
    """Image of MLflow if the stack names one or builds none; None if the stack builds the image."""
    if images.image_builder != "prebuilt" and not images.mlflow_image:
        return None
    return resolve(versions.MLFLOW_IMAGE, replacement=images.mlflow_image, mirror=images.image_registry)


def busybox(images: ImageOptions) -> str:
    """Image of the MLflow chart's init containers."""
    return resolve(versions.BUSYBOX_IMAGE, replacement=images.busybox_image, mirror=images.image_registry)


def split(reference: str) -> tuple[str, str]:
    """Split a reference into the repository and the tag of Helm values.

    Helm charts join the two with a colon, so `repo@sha256:abc` becomes `repo@sha256` and `abc`.
    """
    repository, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        return reference, "latest"
    return repository, tag


def pull_secrets(images: ImageOptions) -> list[core.v1.LocalObjectReferenceArgs]:
    """Value of `imagePullSecrets` in a pod and in the values of the charts."""
    return [core.v1.LocalObjectReferenceArgs(name=images.image_pull_secret)] if images.image_pull_secret else []
