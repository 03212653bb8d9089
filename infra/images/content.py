"""The images that this project builds: their content, their tag, and the command that builds them.

`references.py` names the images that others publish.
"""

import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi

from infra import versions
from infra.config.image_options import ImageOptions

TAG_LENGTH: Final = 16
"""Hexadecimal digits of a tag."""


class ImageError(pulumi.RunError):
    """A source of an image is missing, or the lock does not pin its package."""


@dataclass(frozen=True, kw_only=True)
class ImageContent:
    """The sources of an image. Its tag is a hash of all of them."""

    name: str
    dockerfile: str
    lock: str
    package: str
    """Package whose locked version is a label of the image."""
    sources: tuple[str, ...] = ()
    """Further files and folders of the project."""
    takes_extras: bool = False
    """Whether `imageExtras` are installed in the image."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """All sources of the image, relative to the root of the project."""
        return (self.dockerfile, self.lock, *self.sources)


RAY: Final = ImageContent(
    name="manta-ray",
    dockerfile="images/ray/Dockerfile",
    lock="requirements/app.txt",
    package="ray",
    sources=("requirements/extras", "pyproject.toml", "LICENSE", "app"),
    takes_extras=True,
)
MLFLOW: Final = ImageContent(
    name="manta-mlflow",
    dockerfile="images/mlflow/Dockerfile",
    lock="requirements/mlflow.txt",
    package="mlflow",
)

COMMANDS: Final = {
    # `minikube image build` exits with 0 although the build failed, so the image is listed afterwards.
    "minikube": (
        "minikube image ls --profile {profile} | grep -qF {image}"
        " || (minikube image build --profile {profile} -t {image} -f {dockerfile} {arguments} {context}"
        " && minikube image ls --profile {profile} | grep -F {image})"
    ),
    "docker": (
        "docker buildx imagetools inspect {image} > /dev/null 2>&1"
        " || docker buildx build --push {platform} -t {image} -f {dockerfile} {arguments} {context}"
    ),
}
"""Build command of each builder, run in the root of the project. `imageBuilder: command` has `buildCommand` instead.

A tag stands for one content, so an image that exists under the tag is not built again.
"""
STRAY_SUFFIXES: Final = frozenset({".pyc", ".swp", ".orig"})
DEFAULT_PLATFORMS: Final = {"docker": ("linux/amd64",)}
"""Platforms of a builder that pushes to a registry: a laptop's own platform is not that of most cloud nodes."""
ARGUMENT: Final = {"minikube": "--build-opt=build-arg="}
"""Option that passes a Dockerfile argument to a builder, where the option is not `--build-arg`."""


def reference(content: ImageContent, images: ImageOptions, root: Path) -> str:
    """Reference of the built image.

    Raises:
        ImageError: A source is missing.
    """
    variant = "\0".join([base_image(images), *_extras(content, images), *platforms(images)])
    name = f"{content.name}:{tag(content, root, base=variant)}"
    return f"{images.registry}/{name}" if images.registry else name


def tag(content: ImageContent, root: Path, *, base: str) -> str:
    """Hash of the sources, the base image, the extras and the platforms, which is the same on every machine.

    Args:
        content: The image.
        root: Root of the project.
        base: The base image, the extras and the platforms.

    Raises:
        ImageError: A source is missing.
    """
    digest = hashlib.sha256(base.encode() + b"\0")
    for file in _files(content, root):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:TAG_LENGTH]


def base_image(images: ImageOptions) -> str:
    """Base image of the built images."""
    mirror = images.image_registry or versions.PYTHON_IMAGE.registry
    return images.base_image or f"{mirror}/{versions.PYTHON_IMAGE.repository}:{versions.PYTHON_IMAGE.tag}"


def platforms(images: ImageOptions) -> tuple[str, ...]:
    """Platforms of the built images, in a fixed order; empty means the platform of the builder."""
    return tuple(sorted(set(images.image_platforms))) or DEFAULT_PLATFORMS.get(images.image_builder, ())


def build_command(
    content: ImageContent, images: ImageOptions, root: Path, *, profile: str, proxy: Mapping[str, str] | None = None
) -> str:
    """Shell command that builds the image and makes it available to the cluster.

    Args:
        content: The image to build.
        images: The options of the builder.
        root: Root of the project, where the command runs.
        profile: Minikube's profile, which is the name of its context.
        proxy: Environment variables of a proxy for the build. They change neither the image nor its tag.

    Raises:
        ImageError: A source is missing.
    """
    template = COMMANDS.get(images.image_builder, images.build_command)
    parts = {
        "{image}": shlex.quote(reference(content, images, root)),
        "{dockerfile}": content.dockerfile,
        "{context}": ".",
        "{profile}": shlex.quote(profile),
        "{base}": shlex.quote(base_image(images)),
        "{platform}": f"--platform {','.join(platforms(images))}" if platforms(images) else "",
        "{arguments}": _arguments(content, images, root, proxy or {}),
    }
    for placeholder, part in parts.items():
        template = template.replace(placeholder, part)
    return template


def locked_version(content: ImageContent, root: Path) -> str:
    """Version of the image's package in its lock.

    Raises:
        ImageError: The lock does not pin the package.
    """
    pin = re.search(rf"^{content.package}==(\S+)", (root / content.lock).read_text(encoding="utf-8"), re.MULTILINE)
    if pin is None:
        raise ImageError(f"{content.lock} pins no {content.package}. Write the lock again with: make lock")
    return pin[1]


def _arguments(content: ImageContent, images: ImageOptions, root: Path, proxy: Mapping[str, str]) -> str:
    """Arguments of the Dockerfile. The shell reads the commit, so a new commit keeps the command."""
    inputs = " ".join(content.inputs)
    last_commit = f"git log -1 --format=%H -- {inputs} 2>/dev/null"
    dirty_suffix = f"git diff --quiet HEAD -- {inputs} 2>/dev/null; test $? -ne 1 || echo -dirty"
    arguments = {
        "BASE_IMAGE": shlex.quote(base_image(images)),
        f"{content.package.upper()}_VERSION": locked_version(content, root),
        "GIT_COMMIT": f'"$({last_commit})$({dirty_suffix})"',
    }
    if extras := _extras(content, images):
        arguments["EXTRAS"] = ",".join(extras)
    if images.package_index:
        arguments["PIP_INDEX_URL"] = shlex.quote(images.package_index)
    if images.build_ca:
        arguments["CA_CERTIFICATES"] = shlex.quote(images.build_ca)
    arguments |= {name: shlex.quote(value) for name, value in proxy.items()}
    option = ARGUMENT.get(images.image_builder, "--build-arg ")
    return " ".join(f"{option}{key}={value}" for key, value in arguments.items())


def _extras(content: ImageContent, images: ImageOptions) -> tuple[str, ...]:
    return tuple(sorted(set(images.image_extras))) if content.takes_extras else ()


def _is_stray(file: Path) -> bool:
    """Whether an editor, a file manager or Python left the file there: `.dockerignore` leaves it out as well."""
    is_hidden = any(part.startswith(".") or part == "__pycache__" for part in file.parts)
    return is_hidden or file.suffix in STRAY_SUFFIXES or file.name.endswith("~")


def _files(content: ImageContent, root: Path) -> Iterator[Path]:
    for source in content.inputs:
        path = root / source
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            yield from sorted(file for file in inside if not _is_stray(file.relative_to(path)))
        elif path.is_file():
            yield path
        else:
            raise ImageError(
                f"{source} is missing; the image {content.name} is built from it. Restore it, or use an existing image "
                "with: pulumi config set imageBuilder prebuilt"
            )
