"""The Ray image: a tag that is the hash of everything in it, and the builder that makes it."""

import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
from pulumi_command import local

from infra.options import Images

NAME: Final = "manta-ray"
DOCKERFILE: Final = "images/ray/Dockerfile"
SOURCES: Final = (DOCKERFILE, "requirements/app.txt", "pyproject.toml", "app")
"""Everything that goes into the image, as files and folders of the project."""
TAG_LENGTH: Final = 16
"""Hexadecimal digits of the hash in a tag."""
COMMANDS: Final = {
    "minikube": "minikube image build --profile {profile} -t {image} -f {dockerfile} {context}",
    "docker": "docker buildx build --push -t {image} -f {dockerfile} {context}",
}
"""What a builder runs in the project's root; `command` brings its own."""


class ImageError(pulumi.RunError):
    """A source of the image is missing."""


@dataclass(frozen=True, kw_only=True)
class RayImageArgs:
    """What to build, and by what."""

    images: Images
    root: Path
    """Root of the project."""
    profile: pulumi.Input[str]
    """Minikube's profile, which is also the name of its context."""


class RayImage(pulumi.ComponentResource):
    """The image that the Ray head and workers run."""

    reference: pulumi.Output[str]
    """Its name; it can be pulled once this component is there."""

    def __init__(self, name: str, args: RayImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:RayImage", name, None, opts)
        images = args.images
        if images.image_builder == "prebuilt":
            self.reference = pulumi.Output.from_input(images.image)
        else:
            tag = content_tag(args.root)
            reference = image_reference(images.registry, tag)
            template = images.build_command or COMMANDS[images.image_builder]
            local.Command(
                f"{name}-build",
                create=pulumi.Output.from_input(args.profile).apply(
                    lambda profile: build_command(template, image=reference, profile=profile)
                ),
                dir=os.path.relpath(args.root),
                triggers=[tag],
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.reference = pulumi.Output.from_input(reference)
        self.register_outputs({"reference": self.reference})


def image_reference(registry: str, tag: str) -> str:
    """Name of a built image."""
    return f"{registry}/{NAME}:{tag}" if registry else f"{NAME}:{tag}"


def build_command(template: str, *, image: str, profile: str) -> str:
    """Fill in a builder's command; each part is quoted for the shell."""
    parts = {"{image}": image, "{dockerfile}": DOCKERFILE, "{context}": ".", "{profile}": profile}
    for placeholder, part in parts.items():
        template = template.replace(placeholder, shlex.quote(part))
    return template


def content_tag(root: Path) -> str:
    """Tag of the image: the same content gives the same tag on every machine, any change a new one.

    Raises:
        ImageError: A source is missing.
    """
    digest = hashlib.sha256()
    for file in _files(root, SOURCES):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:TAG_LENGTH]


def _files(root: Path, sources: Iterable[str]) -> Iterator[Path]:
    for source in sources:
        path = root / source
        if path.is_dir():
            inside = (file for file in path.rglob("*") if file.is_file())
            yield from sorted(file for file in inside if "__pycache__" not in file.parts)
        elif path.is_file():
            yield path
        else:
            raise ImageError(
                f"{source} is missing, which the Ray image is built from. Restore it, or use an image "
                "that is built already: pulumi config set imageBuilder prebuilt && pulumi config set image REFERENCE"
            )
