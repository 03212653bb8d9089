"""The container images of a stack, and how they are built."""

from typing import Literal

from pydantic import Field

from infra.config.options import OptionGroup
from infra.config.vocabulary import Certificates, ImageReference, ObjectName, Url


class ImageOptions(OptionGroup):
    """Container images."""

    image_builder: Literal["minikube", "docker", "command", "prebuilt"] = Field(
        "minikube",
        description=(
            "How the images are built: in Minikube, with Docker and pushed to `registry`, by `buildCommand`, "
            "or not at all (prebuilt)."
        ),
    )
    image: ImageReference = Field(
        "",
        examples=["registry.example.com/manta-ray:1.0"],
        description="Ray image to use with `imageBuilder: prebuilt`.",
    )
    registry: ImageReference = Field(
        "",
        examples=["registry.example.com/ml"],
        description="Registry and path that built images are pushed to.",
    )
    build_command: str = Field(
        "",
        examples=["buildah build -t {image} -f {dockerfile} {arguments} {context} && buildah push {image}"],
        description="Shell command for `imageBuilder: command`, with {image}, {dockerfile}, {arguments} and {context}.",
    )
    base_image: ImageReference = Field(
        "",
        examples=["registry.example.com/python:3.11-slim"],
        description="Base image with Python for the built images. Empty: the official slim image.",
    )
    image_platforms: tuple[Literal["linux/amd64", "linux/arm64"], ...] = Field(
        (),
        examples=[["linux/amd64", "linux/arm64"]],
        description="Platforms of the built images: `linux/amd64`, `linux/arm64`, or both. Empty: `linux/amd64` with "
        "`imageBuilder: docker`, and the platform of the builder otherwise.",
    )
    package_index: Url = Field(
        "",
        examples=["https://packages.example.com/simple"],
        description="Python package index that builds install from. Empty: PyPI.",
    )
    build_ca: Certificates = Field(
        "", description="Certificate authorities that builds trust, such as that of a proxy. Empty: those of the image."
    )
    image_extras: tuple[Literal["xgboost", "lightgbm", "onnx"], ...] = Field(
        (),
        examples=[["xgboost", "onnx"]],
        description="Model formats whose packages are installed in the built Ray image: `xgboost`, `lightgbm`, `onnx`.",
    )
    image_registry: ImageReference = Field(
        "", description="Registry mirror that replaces every public registry; the image's path follows it."
    )
    image_pull_secret: ObjectName = Field(
        "", description="Existing Secret, in each namespace of the stack, with the credentials of the registry."
    )
    operator_image: ImageReference = Field("", description="Image of the KubeRay operator. Empty: the published image.")
    redis_image: ImageReference = Field("", description="Image of Redis. Empty: the published image.")
    mlflow_image: ImageReference = Field(
        "",
        description=(
            "Image of MLflow, with the extra `mlflow[auth]`, and with mlflow-oidc-auth for `mlflowOidc`. Empty: built "
            "here, or the published image with `imageBuilder: prebuilt`."
        ),
    )
    busybox_image: ImageReference = Field(
        "", description="Image of the init containers of MLflow's chart. Empty: the published image."
    )
