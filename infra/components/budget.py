"""Disruption budgets: a drain evicts pods one after the other, and no budget holds a drain for ever."""

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes import meta, policy

from infra import labels


def register(
    name: str,
    budget_name: str,
    *,
    namespace: pulumi.Input[str],
    component: str,
    pods: int,
    more_labels: Mapping[str, str],
    opts: pulumi.ResourceOptions,
) -> None:
    """Register the budget of a component that has more than one pod: an eviction leaves all of them but one.

    A component with a single pod gets no budget, because the budget would allow no eviction.

    Args:
        name: Name of the Pulumi resource.
        budget_name: Name of the budget in the cluster.
        namespace: Namespace of the pods.
        component: Platform component of the pods.
        pods: Smallest number of pods that the component has.
        more_labels: Further labels of the pods.
        opts: Options of the Pulumi resource.
    """
    if pods < 2:  # noqa: PLR2004 - see above
        return
    policy.v1.PodDisruptionBudget(
        name,
        metadata=meta.v1.ObjectMetaArgs(name=budget_name, namespace=namespace, labels=labels.of(component)),
        spec=policy.v1.PodDisruptionBudgetSpecArgs(
            # `maxUnavailable` works only for pods of Kubernetes' own controllers.
            # https://kubernetes.io/docs/tasks/run-application/configure-pdb/#arbitrary-controllers-and-selectors
            min_available=pods - 1,
            selector=meta.v1.LabelSelectorArgs(match_labels={**labels.selector(component), **more_labels}),
            # A pod that is not ready would otherwise block the drain of its node.
            unhealthy_pod_eviction_policy="AlwaysAllow",
        ),
        opts=opts,
    )
