"""The KubeRay operator: its CRDs, which belong to the whole cluster, and its Helm release, which is ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.helm.v3 import Release

from infra import charts, names
from infra.config.options import ChartOptions, ImageOptions
from infra.images import references

PATCH_FORCE: Final = "pulumi.com/patchForce"
TIMEOUT_S: Final = 300
USER: Final = 65532
"""The image names its user by a word, which `runAsNonRoot` cannot judge."""


@dataclass(frozen=True, kw_only=True)
class KuberayOperatorArgs:
    """What to install, and where."""

    namespace: pulumi.Input[str]
    watched: pulumi.Input[str]
    """The one namespace whose Ray clusters it runs."""
    charts: ChartOptions
    images: ImageOptions
    root: Path
    """Root of the project, from which a relative chart path counts."""


class KuberayOperator(pulumi.ComponentResource):
    """What turns a RayService into pods."""

    release: pulumi.Output[str]
    """Name of the Helm release, once its pod is ready."""

    def __init__(self, name: str, args: KuberayOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:KuberayOperator", name, None, opts)
        crds = [self._crd(name, args, crd) for crd in self._found(args)]
        made = Release(
            f"{name}-release",
            name=names.OPERATOR,
            namespace=args.namespace,
            **args.charts.kuberay.release_source(args.root),
            values=values(args.images, watched=args.watched),
            skip_crds=True,  # they are above: Helm would install them once and never upgrade them
            atomic=False,  # a failed release stays to be looked at, and the next `up` mends it in place
            timeout=TIMEOUT_S,
            opts=pulumi.ResourceOptions(parent=self, depends_on=crds),
        )
        self.release = made.status.apply(lambda status: str(status.name))
        self.register_outputs({"release": self.release})

    def _found(self, args: KuberayOperatorArgs) -> list[dict[str, Any]]:
        return charts.crds(args.charts.kuberay, root=args.root, opts=pulumi.InvokeOptions(parent=self))

    def _crd(self, name: str, args: KuberayOperatorArgs, crd: dict[str, Any]) -> pulumi.Resource:
        """Apply one CRD, whoever had it before, and leave it behind unless told otherwise."""
        metadata = crd["metadata"]
        annotations = metadata.get("annotations", {}) | {PATCH_FORCE: "true"}
        return kubernetes.apiextensions.v1.CustomResourceDefinition(
            f"{name}-crd-{metadata['name']}",
            metadata={"name": metadata["name"], "annotations": annotations},
            spec=crd["spec"],
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=not args.charts.remove_crds),
        )


def values(wanted: ImageOptions, *, watched: pulumi.Input[str]) -> dict[str, Any]:
    """Helm values: one namespace watched, with the rights of that namespace alone."""
    repository, tag = references.split(references.operator(wanted))
    return {
        "image": {"repository": repository, "tag": tag},
        "imagePullSecrets": references.pull_secrets(wanted),
        "singleNamespaceInstall": True,
        "watchNamespace": [watched],
        "podSecurityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "500m", "memory": "512Mi"},
        },
    }
