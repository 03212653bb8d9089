"""What goes into the images that this project builds, and the shell command that builds one.

`components/image.py` runs the command; `images.py` names the images that others publish.
"""

import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi

from infra import versions
from infra.config.options import ImageOptions

TAG_LENGTH: Final = 16
"""Hexadecimal digits of the hash in a tag."""


class ImageError(pulumi.RunError):
    """A source of an image is missing, or its lock names no version."""


@dataclass(frozen=True, kw_only=True)
class ImageContent:
    """One image: its files, which all count for its tag."""

    name: str
    dockerfile: str
    lock: str
    package: str
    """Package whose locked version the image is labelled with."""
    sources: tuple[str, ...] = ()
    """Files and folders of the project beside Dockerfile and lock."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Everything that goes into the image."""
        return (self.dockerfile, self.lock, *self.sources)


RAY: Final = ImageContent(
    name="manta-ray",
    dockerfile="images/ray/Dockerfile",
    lock="requirements/app.txt",
    package="ray",
    sources=("pyproject.toml", "LICENSE", "app"),
)
MLFLOW: Final = ImageContent(
    name="manta-mlflow",
    dockerfile="images/mlflow/Dockerfile",
    lock="requirements/mlflow.txt",
    package="mlflow",
)

COMMANDS: Final = {
    # Minikube answers 0 where a build failed, so it is asked for the image afterwards.
    "minikube": (
        "minikube image ls --profile {profile} | grep -qF {image}"
        " || (minikube image build --profile {profile} -t {image} -f {dockerfile} {arguments} {context}"
        " && minikube image ls --profile {profile} | grep -F {image})"
    ),
    "docker": (
        "docker buildx imagetools inspect {image} > /dev/null 2>&1"
        " || docker buildx build --push -t {image} -f {dockerfile} {arguments} {context}"
    ),
}
"""What a builder runs in the project's root; `command` brings its own.

A tag is of one content only, so an image that is there already is the right one: another stack built it, or an update
that was broken off.
"""
ARGUMENT: Final = {"minikube": "--build-opt=build-arg="}
"""How a builder takes an argument of the Dockerfile, where that is not `--build-arg`."""


def reference(content: ImageContent, images: ImageOptions, root: Path) -> str:
    """Name of the built image.

    Raises:
        ImageError: A source is missing.
    """
    name = f"{content.name}:{tag(content, root, base=base_image(images))}"
    return f"{images.registry}/{name}" if images.registry else name


def tag(content: ImageContent, root: Path, *, base: str) -> str:
    """Hash of all that goes in: the same content gives the same tag on every machine, any change a new one.

    Raises:
        ImageError: A source is missing.
    """
    digest = hashlib.sha256(base.encode() + b"\0")
    for file in _files(content, root):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:TAG_LENGTH]


def base_image(images: ImageOptions) -> str:
    """Image that the built ones start from."""
    mirror = images.image_registry or versions.PYTHON_IMAGE.registry
    return images.base_image or f"{mirror}/{versions.PYTHON_IMAGE.repository}:{versions.PYTHON_IMAGE.tag}"


def build_command(content: ImageContent, images: ImageOptions, root: Path, *, profile: str) -> str:
    """Shell command that builds the image and brings it to where the cluster finds it.

    Args:
        content: What to build.
        images: The builder and its settings.
        root: Root of the project, in which the command runs.
        profile: Minikube's profile, which is also the name of its context.

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
        "{arguments}": _arguments(content, images, root),
    }
    for placeholder, part in parts.items():
        template = template.replace(placeholder, part)
    return template


def locked_version(content: ImageContent, root: Path) -> str:
    """Version that the lock pins for the package that the image is made for.

    Raises:
        ImageError: The lock holds no such package.
    """
    found = re.search(rf"^{content.package}==(\S+)", (root / content.lock).read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ImageError(f"{content.lock} pins no {content.package}. Write it again with: make lock")
    return found[1]


def _arguments(content: ImageContent, images: ImageOptions, root: Path) -> str:
    """Arguments of the Dockerfile; the commit is asked for when the command runs, so it changes no command."""
    inputs = " ".join(content.inputs)
    last = f"git log -1 --format=%H -- {inputs} 2>/dev/null"
    changed = f"git diff --quiet HEAD -- {inputs} 2>/dev/null; test $? -ne 1 || echo -dirty"
    arguments = {
        "BASE_IMAGE": shlex.quote(base_image(images)),
        f"{content.package.upper()}_VERSION": locked_version(content, root),
        "GIT_COMMIT": f'"$({last})$({changed})"',
    }
    option = ARGUMENT.get(images.image_builder, "--build-arg ")
    return " ".join(f"{option}{key}={value}" for key, value in arguments.items())


def _files(content: ImageContent, root: Path) -> Iterator[Path]:
    for source in content.inputs:
        path = root / source
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            yield from sorted(file for file in inside if "__pycache__" not in file.parts)
        elif path.is_file():
            yield path
        else:
            raise ImageError(
                f"{source} is missing, which the image {content.name} is built from. Restore it, or use an "
                "image that is built already: pulumi config set imageBuilder prebuilt"
            )
