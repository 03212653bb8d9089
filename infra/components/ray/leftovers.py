"""What a destroy must take down before the operator goes, although this stack does not know of it.

KubeRay's objects bear finalizers that only its operator resolves: one that outlives the operator keeps its namespace
for ever. Pulumi deletes what is in its state. The RayService of an `up` that was killed while it waited for it is
not, and neither is a Ray cluster that somebody made with kubectl.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_command import local

TIMEOUT_S: Final = 240
"""The longest that a destroy waits for the operator to take them down."""
DELETE: Final = f"""\
kinds=rayservices.ray.io,rayjobs.ray.io,rayclusters.ray.io
if [ -n "$MANTA_KUBECONFIG" ]; then
    KUBECONFIG=$(mktemp) && export KUBECONFIG
    trap 'rm -f "$KUBECONFIG"' EXIT
    printf '%s\\n' "$MANTA_KUBECONFIG" > "$KUBECONFIG"
fi
kubectl ${{MANTA_CONTEXT:+--context "$MANTA_CONTEXT"}} --namespace "$MANTA_NAMESPACE" \\
    delete "$kinds" --all --ignore-not-found --timeout={TIMEOUT_S}s 2>&1 ||
    echo "Ray objects that are still in the namespace $MANTA_NAMESPACE will keep it from being deleted:" \\
        "take their finalizers away (kubectl edit), and destroy again."
"""
"""A failure is told and ends nothing: without a cluster, or without its CRDs, there is nothing to delete."""


@dataclass(frozen=True, kw_only=True)
class LeftoversArgs:
    """Where they are."""

    namespace: pulumi.Input[str]
    context: pulumi.Input[str]
    kubeconfig: pulumi.Input[str] | None
    """Content of a kubeconfig; None means kubectl's own."""
    after: Sequence[pulumi.Resource]
    """What taking them down needs: the operator, Redis, and the policies between them."""


class Leftovers(pulumi.ComponentResource):
    """Deletes every Ray object of the namespace at a destroy; what depends on it is gone by then."""

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
