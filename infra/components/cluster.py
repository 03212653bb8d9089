"""The cluster that a stack may touch: the guard, and the providers that reach no other."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from infra.config import kubeconfig, settings
from infra.config.options import ClusterOptions

STACK_OUTPUT = "kubeconfig"
"""Output of the stack named by `clusterStack`."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A checked way to the cluster."""

    provider: kubernetes.Provider
    """Adopts what it finds: CRDs, which belong to everybody, and in our namespaces what an `up` that was killed has
    left, of which Pulumi's state does not know."""
    namespace_provider: kubernetes.Provider
    """Refuses what is there already; what lies in a namespace that it made is ours."""
    context: pulumi.Output[str]
    """Name of the context in use."""
    kubeconfig: pulumi.Output[str] | None
    """Content of the kubeconfig, secret; None where it is kubectl's own."""


def guard(where: ClusterOptions) -> None:
    """Refuse a wrong target before any resource is registered.

    Raises:
        TargetError: The context is not there, or is not of the kind that the stack is for.
    """
    if where.cluster_stack:
        return  # its kubeconfig is checked in `_from_stack`, ahead of the provider
    text = where.kubeconfig.get_secret_value()
    documents = [kubeconfig.parse(text)] if text else kubeconfig.read(settings.kubeconfig_files())
    found = kubeconfig.find(documents, where.context)
    kubeconfig.check(found, target=where.target, also=where.local_contexts)


def connect(where: ClusterOptions, after: Sequence[pulumi.Resource] = ()) -> Cluster:
    """Make the providers of the guarded cluster.

    Args:
        where: The cluster.
        after: What must be there before anything in the cluster changes.
    """
    content: pulumi.Output[str] | None = None
    context: pulumi.Output[str] = pulumi.Output.from_input(where.context)
    if where.cluster_stack:
        content = _from_stack(where)
        current = content.apply(lambda text: kubeconfig.find([kubeconfig.parse(text)], where.context).name)
        context = pulumi.Output.unsecret(current)
    elif where.kubeconfig.get_secret_value():
        content = pulumi.Output.secret(where.kubeconfig.get_secret_value())
    return Cluster(
        provider=_provider("cluster", where, context, content, after, adopts=True),
        namespace_provider=_provider("cluster-namespaces", where, context, content, after, adopts=False),
        context=context,
        kubeconfig=content,
    )


def _from_stack(where: ClusterOptions) -> pulumi.Output[str]:
    """Kubeconfig of another stack, once the guard has seen it; it is as secret as that stack made it."""

    def guarded(text: str) -> str:
        found = kubeconfig.find([kubeconfig.parse(text)], where.context)
        kubeconfig.check(found, target=where.target, also=where.local_contexts)
        return text

    output: pulumi.Output[str] = pulumi.StackReference(where.cluster_stack).require_output(STACK_OUTPUT)
    return output.apply(guarded)


def _provider(
    name: str,
    where: ClusterOptions,
    context: pulumi.Output[str],
    content: pulumi.Output[str] | None,
    after: Sequence[pulumi.Resource],
    *,
    adopts: bool,
) -> kubernetes.Provider:
    return kubernetes.Provider(
        name,
        context=context,
        kubeconfig=content,
        # Without it a rotated certificate in the kubeconfig would replace every object of the stack.
        cluster_identifier=where.cluster_stack or where.context,
        # A changed Secret or ConfigMap is updated in place: its name is fixed, and pods refer to it.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        upsert_existing_objects=adopts,
        opts=pulumi.ResourceOptions(depends_on=list(after)),
    )
