"""The inputs of the RayService's spec, and the settings that depend on the kind of cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

import pulumi
from pulumi_kubernetes import core

from infra.config.options import SizeOptions
from infra.config.scheduling import Placement
from infra.config.worker_options import WorkerGroup


@dataclass(frozen=True, kw_only=True)
class TargetPolicy:
    """Settings that depend on the kind of cluster."""

    request_share: Decimal
    """Resource requests as a share of the limits."""
    head_cpu_request_share: Decimal
    """CPU request of the head as a share of its limit: the head is busy while it starts and nearly idle afterwards."""
    deletion_delay_s: int
    """Seconds that an upgrade keeps the old Ray cluster, so that it can finish its requests."""


POLICIES: Final[dict[str, TargetPolicy]] = {
    # An upgrade runs two Ray clusters at once. Requests of half the limits let both fit on one small node.
    "minikube": TargetPolicy(request_share=Decimal("0.5"), head_cpu_request_share=Decimal("0.2"), deletion_delay_s=15),
    "cloud": TargetPolicy(request_share=Decimal(1), head_cpu_request_share=Decimal(1), deletion_delay_s=60),
}


@dataclass(frozen=True, kw_only=True)
class RayServiceSpecArgs:
    """Inputs of the spec."""

    size: SizeOptions
    target: Literal["minikube", "cloud"]
    image: pulumi.Input[str]
    image_pull_secrets: Sequence[core.v1.LocalObjectReferenceArgs]
    serve_config: str
    """Configuration of Ray Serve, as YAML."""
    ray_secret: pulumi.Input[str]
    """Name of the Secret that holds Ray's token."""
    redis_address: pulumi.Input[str]
    redis_secret: str | None
    """Name of the Secret with Redis' password; None without a password."""
    environment: Sequence[core.v1.EnvVarArgs]
    """Environment variables of the workers."""
    head_environment: Sequence[core.v1.EnvVarArgs]
    """Environment variables of the head."""
    checksums: Mapping[str, pulumi.Input[str]]
    """Digest of each Secret that the Ray containers read, by the Secret's name. A changed digest triggers an upgrade
    to a new Ray cluster."""
    redis_user: str = ""
    """Empty: Redis' user `default`."""
    head_volumes: Sequence[core.v1.VolumeArgs] = ()
    head_mounts: Sequence[core.v1.VolumeMountArgs] = ()
    head: Placement = field(default_factory=Placement)
    """Where the head runs, and what is added to its pod."""
    workers: Placement = field(default_factory=Placement)
    """The same for the workers."""
    groups: Sequence[WorkerGroup] = ()
    """Groups of workers that only run jobs. With any, the other workers only serve."""
    worker_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the workers that their cloud identity needs."""
    serve_service: Mapping[str, object] | None = None
    """KubeRay's Service of Serve, where it is not reachable from inside of the cluster only."""
