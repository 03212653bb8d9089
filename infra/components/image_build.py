"""A container image that the stack builds whenever the content of the image has changed."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_command import local

from infra.config.image_options import ImageOptions
from infra.images import content
from infra.images.content import ImageContent


@dataclass(frozen=True, kw_only=True)
class ImageBuildArgs:
    """What to build, and with which builder."""

    content: ImageContent
    images: ImageOptions
    published: str | None
    """Reference of a published image, which is used unchanged; None means that the image is built."""
    root: Path
    """Root of the project."""
    profile: str
    """Minikube's profile, which is also the name of its context."""
    proxy: Mapping[str, str]
    """Environment variables of a proxy for the build."""


class ImageBuild(pulumi.ComponentResource):
    """One image in the registry or node that the cluster pulls from.

    Resources that depend on it wait until the image exists. A failed build ends the update before any other change.
    """

    reference: str
    """Reference of the image."""

    def __init__(self, name: str, args: ImageBuildArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # The type token is part of the URN: another token would replace the resource in existing stacks.
        super().__init__("manta:index:Image", name, None, opts)
        if args.published is not None:
            self.reference = args.published
        else:
            self.reference = content.reference(args.content, args.images, args.root)
            local.Command(
                f"{name}-build",
                create=content.build_command(
                    args.content, args.images, args.root, profile=args.profile, proxy=args.proxy
                ),
                dir=os.path.relpath(args.root),
                logging=local.Logging.STDERR,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"reference": self.reference})
