"""The Kubernetes cluster of a stack: the check of its target, and the providers that reach no other cluster."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_kubernetes as kubernetes

from infra.config import kubeconfig, settings
from infra.config.kubeconfig import Context
from infra.config.options import ClusterOptions

KUBECONFIG_OUTPUT: Final = "kubeconfig"
"""Output of the stack that `clusterStack` names."""


@dataclass(frozen=True, kw_only=True)
class ClusterConnection:
    """The providers and the kubeconfig of a cluster whose target has been checked."""

    provider: kubernetes.Provider
    """Provider that adopts existing objects: CRDs, which the whole cluster shares, and objects in the stack's
    namespaces that an interrupted `pulumi up` created without recording them in the state."""
    namespace_provider: kubernetes.Provider
    """Provider that refuses existing objects, so that the stack only ever uses namespaces that it created."""
    context: pulumi.Output[str]
    """Name of the context in use."""
    kubeconfig: pulumi.Output[str] | None
    """Content of the kubeconfig, secret; None means the kubeconfig files that kubectl reads."""


def check_target(options: ClusterOptions) -> int | None:
    """Refuse a wrong cluster before the program registers any resource.

    Returns:
        The port of the API server, or None if another stack provides the kubeconfig.

    Raises:
        TargetError: The context does not exist, or its cluster does not match `target`.
    """
    if options.cluster_stack:
        return None  # `_stack_kubeconfig` checks this kubeconfig as soon as the other stack's output is known
    context = _context(options)
    kubeconfig.check(context, target=options.target, also=options.local_contexts)
    return context.port


def _context(options: ClusterOptions) -> Context:
    """The context of the stack, in the kubeconfig of the configuration or in kubectl's files.

    Raises:
        TargetError: The context does not exist.
    """
    text = options.kubeconfig.get_secret_value()
    documents = [kubeconfig.parse(text)] if text else kubeconfig.read(settings.kubeconfig_files())
    return kubeconfig.find(documents, options.context)


def _identifier(options: ClusterOptions) -> str:
    """What stays the same as long as the cluster does: Pulumi replaces every object when it changes.

    A context can be renamed, so a cloud cluster is known by its API server. A local cluster gets another port at each
    start, so it is known by its context.
    """
    if options.cluster_stack:
        return options.cluster_stack
    context = _context(options)
    is_local = kubeconfig.is_local(context, also=options.local_contexts)
    return context.name if is_local else context.server


def connect(options: ClusterOptions, after: Sequence[pulumi.Resource] = ()) -> ClusterConnection:
    """Register the providers of the checked cluster.

    Args:
        options: Configuration of the cluster.
        after: Resources that must exist before anything in the cluster changes.
    """
    content: pulumi.Output[str] | None = None
    context: pulumi.Output[str] = pulumi.Output.from_input(options.context)
    if options.cluster_stack:
        content = _stack_kubeconfig(options)
        context_name = content.apply(lambda text: kubeconfig.find([kubeconfig.parse(text)], options.context).name)
        context = pulumi.Output.unsecret(context_name)
    elif options.kubeconfig.get_secret_value():
        content = pulumi.Output.secret(options.kubeconfig.get_secret_value())
    return ClusterConnection(
        provider=_provider("cluster", options, context, content, after, upsert_existing_objects=True),
        namespace_provider=_provider(
            "cluster-namespaces", options, context, content, after, upsert_existing_objects=False
        ),
        context=context,
        kubeconfig=content,
    )


def _stack_kubeconfig(options: ClusterOptions) -> pulumi.Output[str]:
    """Checked kubeconfig of the stack that `clusterStack` names; secret if that stack's output is secret."""
    # An object, as pulumi-eks exports it, or a text.
    output: pulumi.Output[Any] = pulumi.StackReference(options.cluster_stack).require_output(KUBECONFIG_OUTPUT)
    return output.apply(lambda content: _check_kubeconfig(content, options))


def _check_kubeconfig(content: object, options: ClusterOptions) -> str:
    """Return the kubeconfig as text if its cluster matches `target`."""
    text = content if isinstance(content, str) else json.dumps(content)
    context = kubeconfig.find([kubeconfig.parse(text)], options.context)
    kubeconfig.check(context, target=options.target, also=options.local_contexts)
    return text


def _provider(
    name: str,
    options: ClusterOptions,
    context: pulumi.Output[str],
    content: pulumi.Output[str] | None,
    after: Sequence[pulumi.Resource],
    *,
    upsert_existing_objects: bool,
) -> kubernetes.Provider:
    return kubernetes.Provider(
        name,
        context=context,
        kubeconfig=content,
        # Without this identifier, a rotated certificate in the kubeconfig would replace every object of the stack.
        cluster_identifier=_identifier(options),
        # Pods refer to Secrets and ConfigMaps by a fixed name, so a change must update them in place.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        upsert_existing_objects=upsert_existing_objects,
        opts=pulumi.ResourceOptions(depends_on=list(after)),
    )
