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
from infra.preflight import versions
from infra.preflight.cluster_state import ClusterState

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
    install_crds: bool
    cluster: ClusterState
    """The CRDs and the operators that the cluster has before this update."""
    remove_crds: bool
    """Whether a destroy deletes the CRDs, and with them every Ray cluster in the Kubernetes cluster."""
    context: pulumi.Input[str]
    kubeconfig: pulumi.Input[str] | None
    """Content of a kubeconfig; None means the kubeconfig files that kubectl reads."""


class KuberayOperator(pulumi.ComponentResource):
    """The operator that creates the pods of a RayService."""

    def __init__(self, name: str, args: KuberayOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:KuberayOperator", name, None, opts)
        after = [self._register_crds(name, args)] if args.install_crds else []
        if args.install:
            self._install(name, args, after)
        self.register_outputs({})

    def _register_crds(self, name: str, args: KuberayOperatorArgs) -> pulumi.Resource:
        crds_args = CrdsArgs(
            chart=args.chart,
            product=versions.KUBERAY,
            root=args.root,
            cluster=args.cluster,
            remove=args.remove_crds,
            context=args.context,
            kubeconfig=args.kubeconfig,
        )
        return crds.register(f"{name}-crds", crds_args, pulumi.ResourceOptions(parent=self))

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
