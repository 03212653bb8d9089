"""The KubeRay operator: its CRDs, which the whole cluster shares, and its Helm release, which belongs to the stack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from infra import names
from infra.components import crds, placement
from infra.components.crds import CrdsArgs
from infra.config.chart import Chart
from infra.config.image_options import ImageOptions
from infra.config.scheduling import Placement
from infra.images import references

TIMEOUT_S: Final = 300
USER: Final = 65532
"""UID of the image's user. The image sets a named user; `runAsNonRoot` needs a numeric UID."""


@dataclass(frozen=True, kw_only=True)
class KuberayOperatorArgs:
    """Which operator to install, and which namespace it watches."""

    namespace: pulumi.Input[str]
    watched_namespace: pulumi.Input[str]
    """The one namespace whose Ray clusters the operator manages."""
    chart: Chart
    root: Path
    """Root of the project; a relative chart path starts there."""
    images: ImageOptions
    placement: Placement
    install: bool
    """Whether the stack installs an operator."""
    crds: CrdsArgs | None
    """The CRDs to apply; None if they belong to the operator of the cluster."""


class KuberayOperator(pulumi.ComponentResource):
    """The operator that creates the pods of a RayService."""

    def __init__(self, name: str, args: KuberayOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:KuberayOperator", name, None, opts)
        inside = pulumi.ResourceOptions(parent=self)
        after = [crds.register(f"{name}-crds", args.crds, inside)] if args.crds is not None else []
        if args.install:
            self._install(name, args, after)
        self.register_outputs({})

    def _install(self, name: str, args: KuberayOperatorArgs, after: list[pulumi.Resource]) -> None:
        Release(
            f"{name}-release",
            name=names.OPERATOR,
            namespace=args.namespace,
            **args.chart.release_source(args.root),
            values=values(args.images, args.placement, watched_namespace=args.watched_namespace),
            skip_crds=True,  # Helm would install the CRDs once and never upgrade them
            atomic=False,  # a failed release stays for inspection, and the next `pulumi up` repairs it in place
            timeout=TIMEOUT_S,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )


def values(images: ImageOptions, place: Placement, *, watched_namespace: pulumi.Input[str]) -> dict[str, object]:
    """Helm values: the operator watches one namespace and has rights in this namespace only."""
    repository, tag = references.split(references.operator(images))
    return {
        "image": {"repository": repository, "tag": tag},
        "imagePullSecrets": references.pull_secrets(images),
        "singleNamespaceInstall": True,
        "watchNamespace": [watched_namespace],
        "podSecurityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi", **placement.ephemeral_storage(place)},
            "limits": {"cpu": "500m", "memory": "512Mi", **placement.ephemeral_storage(place)},
        },
        "labels": dict(place.labels),
        "annotations": dict(place.annotations),
        "env": [{"name": name, "value": value} for name, value in sorted(place.env.items())],
        **placement.chart_values(place),
    }
