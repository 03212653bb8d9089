"""An image that the stack builds when what goes into it has changed, and not otherwise."""

import os
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_command import local

from infra.config.options import ImageOptions
from infra.images import content
from infra.images.content import ImageContent


@dataclass(frozen=True, kw_only=True)
class ImageArgs:
    """What to build, and by what."""

    content: ImageContent
    images: ImageOptions
    published: str
    """Reference that is used as it stands where nothing is to be built; empty means that something is."""
    root: Path
    """Root of the project."""
    profile: str
    """Minikube's profile, which is also the name of its context."""


class Image(pulumi.ComponentResource):
    """One image in the place that the cluster pulls from.

    What depends on it waits until it is there. A build that fails ends the update before anything else.
    """

    reference: str
    """Its name."""

    def __init__(self, name: str, args: ImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Image", name, None, opts)
        self.reference = args.published
        if not args.published:
            self.reference = content.reference(args.content, args.images, args.root)
            local.Command(
                f"{name}-build",
                create=content.build_command(args.content, args.images, args.root, profile=args.profile),
                dir=os.path.relpath(args.root),
                logging=local.Logging.STDERR,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"reference": self.reference})
