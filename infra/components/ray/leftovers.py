"""Deletion of the Ray objects that the stack's state does not contain, before a destroy removes the operator.

KubeRay's objects have finalizers that only the operator resolves, so an object that outlives the operator keeps its
namespace in `Terminating`. Pulumi deletes the objects in its state only. The state lacks the RayService of a
`pulumi up` that was killed while it waited for this RayService, and every Ray cluster that was created with kubectl.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_command import local

from infra.components.kubectl_script import WITH_KUBECONFIG

TIMEOUT_S: Final = 240
"""The longest time that a destroy waits for the operator to delete these objects."""
DELETE: Final = (
    WITH_KUBECONFIG
    + f"""\
kinds=rayservices.ray.io,rayjobs.ray.io,rayclusters.ray.io
kubectl ${{MANTA_CONTEXT:+--context "$MANTA_CONTEXT"}} --namespace "$MANTA_NAMESPACE" \\
    delete "$kinds" --all --ignore-not-found --timeout={TIMEOUT_S}s 2>&1 ||
    echo "Ray objects are left in the namespace $MANTA_NAMESPACE and keep the namespace in Terminating." \\
        "Remove their finalizers with kubectl edit, then run pulumi destroy again."
"""
)
"""A failed delete is logged; the destroy continues. Without a cluster or its CRDs there is nothing to delete."""


@dataclass(frozen=True, kw_only=True)
class LeftoversArgs:
    """Where the Ray objects are, and what their deletion needs."""

    namespace: pulumi.Input[str]
    context: pulumi.Input[str]
    kubeconfig: pulumi.Input[str] | None
    """Content of a kubeconfig; None means the kubeconfig files that kubectl reads."""
    after: Sequence[pulumi.Resource]
    """Resources that the deletion of a Ray cluster needs: the operator, Redis, and the policies between them."""


class Leftovers(pulumi.ComponentResource):
    """A command that deletes every Ray object of the namespace during a destroy.

    A destroy runs it after it has deleted every resource that depends on this component.
    """

    def __init__(self, name: str, args: LeftoversArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Leftovers", name, None, opts)
        local.Command(
            f"{name}-delete",
            delete=DELETE,
            environment={
                "MANTA_NAMESPACE": args.namespace,
                "MANTA_CONTEXT": args.context,
                "MANTA_KUBECONFIG": args.kubeconfig or "",
            },
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        self.register_outputs({})
