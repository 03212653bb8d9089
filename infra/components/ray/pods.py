"""The pods of a Ray cluster: their ServiceAccounts, and the template of the head and of every worker."""

from collections.abc import Mapping, Sequence
from typing import Final, TypedDict

import pulumi
from pulumi_kubernetes import core, meta

from infra import labels, names
from infra.components import placement
from infra.components.ray import pod_security
from infra.components.ray.spec_args import RayServiceSpecArgs
from infra.config.scheduling import Placement

GRACE_PERIOD_S: Final = 60
"""Seconds between SIGTERM and SIGKILL. Ray drains a node for up to 30 s, and Serve's proxy stays for 30 s."""


class Account(TypedDict, total=False):
    """Arguments of a pod's spec that decide which ServiceAccount it has, and whether its token is mounted."""

    service_account_name: str
    automount_service_account_token: bool


WORKER_ACCOUNT: Final = Account(service_account_name=names.RAY, automount_service_account_token=False)
"""The code of a training runs on workers. It gets the cloud identity of the ServiceAccount, and no rights here."""
TRAINING_ACCOUNT: Final = Account(service_account_name=names.TRAINING, automount_service_account_token=False)
"""The same for workers that only train, so that replicas need no rights on training data."""


def head_account(*, is_autoscaled: bool) -> Account:
    """KubeRay gives the head of an autoscaled cluster a ServiceAccount that may change workers."""
    return Account() if is_autoscaled else Account(automount_service_account_token=False)


def pod_template(
    args: RayServiceSpecArgs,
    container: core.v1.ContainerArgs,
    place: Placement,
    account: Account,
    *,
    more_labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
    volumes: Sequence[core.v1.VolumeArgs] = (),
) -> core.v1.PodTemplateSpecArgs:
    """Template of a pod of the Ray cluster.

    Args:
        args: Inputs of the RayService's spec.
        container: The Ray container.
        place: Where the pod runs, and what is added to it.
        account: ServiceAccount of the pod.
        more_labels: Further labels.
        annotations: Further annotations.
        volumes: Volumes of the pod.
    """
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(
            labels={**place.labels, **(more_labels or {}), **labels.selector(labels.RAY)},
            annotations={
                **place.annotations,
                **_checksum_annotations(args),
                **placement.tolerations_digest(place),
                **(annotations or {}),
            },
        ),
        spec=core.v1.PodSpecArgs(
            **placement.pod_fields(place),
            **account,
            termination_grace_period_seconds=GRACE_PERIOD_S,
            security_context=pod_security.POD,
            containers=[container],
            volumes=volumes or None,
            image_pull_secrets=args.image_pull_secrets or None,
            topology_spread_constraints=placement.spread(labels.RAY),
        ),
    )


def _checksum_annotations(args: RayServiceSpecArgs) -> dict[str, pulumi.Input[str]]:
    return {f"manta/{name}-checksum": checksum for name, checksum in args.checksums.items()}
