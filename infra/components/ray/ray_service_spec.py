"""The spec of the RayService: its head group, its worker group, and how an upgrade replaces the cluster.

`ray_service.py` registers the RayService; `serve_config.py` computes the configuration of Ray Serve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, TypedDict

import pulumi
from pulumi_kubernetes import core, meta

from infra import labels, names, versions
from infra.components import placement
from infra.components.ray import pod_security
from infra.config import quantities
from infra.config.options import SizeOptions
from infra.config.scheduling import Placement
from infra.credentials import from_secret

GRACE_PERIOD_S: Final = 60
"""Seconds between SIGTERM and SIGKILL. Ray drains a node for up to 30 s, and Serve's proxy stays for 30 s."""
HEAD_PORTS: Final = {
    "gcs-server": names.GCS_PORT,
    "dashboard": names.DASHBOARD_PORT,
    "serve": names.SERVE_PORT,  # KubeRay creates the Service for Serve only if the head has a port of this name
}


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
    """Environment variables of every Ray container."""
    checksums: Mapping[str, pulumi.Input[str]]
    """Digest of each Secret that the Ray containers read, by the Secret's name. A changed digest triggers an upgrade
    to a new Ray cluster."""
    redis_user: str = ""
    """Empty: Redis' user `default`."""
    redis_environment: Sequence[core.v1.EnvVarArgs] = ()
    """Environment variables of the head, which alone connects to Redis."""
    head_volumes: Sequence[core.v1.VolumeArgs] = ()
    head_mounts: Sequence[core.v1.VolumeMountArgs] = ()
    head: Placement = field(default_factory=Placement)
    """Where the head runs, and what is added to its pod."""
    workers: Placement = field(default_factory=Placement)
    """The same for the workers."""
    worker_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the workers that their cloud identity needs."""
    serve_node_port: int | None = None
    """Node port of Serve, where access is by node ports."""


def build(args: RayServiceSpecArgs) -> dict[str, object]:
    """Spec of a RayService."""
    policy = POLICIES[args.target]
    spec: dict[str, object] = {
        "serveConfigV2": args.serve_config,
        # A new cluster takes over as soon as it serves. KubeRay's type `None` would accept changes and ignore them.
        "upgradeStrategy": {"type": "NewCluster"},
        "rayClusterDeletionDelaySeconds": policy.deletion_delay_s,
        # The head holds no replica, so requests through it would only depend on one more pod.
        "excludeHeadPodFromServeSvc": True,
        "rayClusterConfig": _cluster(args, policy),
    }
    if args.serve_node_port is not None:
        port = core.v1.ServicePortArgs(name="serve", port=names.SERVE_PORT, node_port=args.serve_node_port)
        spec["serveService"] = {"spec": core.v1.ServiceSpecArgs(type="NodePort", ports=[port])}
    return spec


def is_autoscaled(size: SizeOptions) -> bool:
    """Whether the number of workers can change."""
    return size.min_workers < size.max_workers


def initial_workers(size: SizeOptions) -> int:
    """Enough workers for every replica at the start; the autoscaler changes the number afterwards."""
    return max(size.min_workers, size.replicas)


def _cluster(args: RayServiceSpecArgs, policy: TargetPolicy) -> dict[str, object]:
    redis: dict[str, object] = {"redisAddress": args.redis_address}
    if args.redis_secret is not None:
        redis["redisPassword"] = {"valueFrom": from_secret(args.redis_secret, names.PASSWORD_KEY)}
    if args.redis_user:
        redis["redisUsername"] = {"value": args.redis_user}
    cluster: dict[str, object] = {
        "rayVersion": versions.RAY,
        "authOptions": {"mode": "token", "secretName": args.ray_secret},
        # `externalStorageNamespace` is left out: it would make the two clusters of an upgrade share one state.
        "gcsFaultToleranceOptions": redis,
        "enableInTreeAutoscaling": is_autoscaled(args.size),
        "headGroupSpec": _head_group(args, policy),
        "workerGroupSpecs": [_worker_group(args, policy)],
    }
    if is_autoscaled(args.size):
        cluster["autoscalerOptions"] = {
            "version": "v2",
            "securityContext": pod_security.container(),
            "resources": core.v1.ResourceRequirementsArgs(
                requests={"cpu": "50m", "memory": "192Mi"},
                limits={"cpu": "500m", "memory": "512Mi"},
            ),
        }
    return cluster


def _head_group(args: RayServiceSpecArgs, policy: TargetPolicy) -> dict[str, object]:
    size, storage = args.size, placement.ephemeral_storage(args.head)
    container = core.v1.ContainerArgs(
        name="ray-head",
        image=args.image,
        image_pull_policy="IfNotPresent",
        env=placement.environment(args.head, [*args.environment, *args.redis_environment]),
        volume_mounts=args.head_mounts or None,
        ports=[core.v1.ContainerPortArgs(name=name, container_port=port) for name, port in HEAD_PORTS.items()],
        security_context=pod_security.container(),
        resources=core.v1.ResourceRequirementsArgs(
            limits={"cpu": quantities.canonical(size.head_cpus), "memory": size.head_memory, **storage},
            requests={
                "cpu": quantities.cpu_share(size.head_cpus, policy.head_cpu_request_share),
                "memory": quantities.memory_share(size.head_memory, policy.request_share),
                **storage,
            },
        ),
    )
    return {
        # Without CPUs, Ray schedules nothing on the head, so a lost head takes no replica with it.
        "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104  (token required)
        "template": _pod_template(args, container, args.head, _head_account(size), volumes=args.head_volumes),
    }


def _worker_group(args: RayServiceSpecArgs, policy: TargetPolicy) -> dict[str, object]:
    size = args.size
    more = {**({placement.GPU: str(size.gpus)} if size.gpus else {}), **placement.ephemeral_storage(args.workers)}
    workers = args.workers.merge(Placement(tolerations=(placement.GPU_TOLERATION,))) if size.gpus else args.workers
    container = core.v1.ContainerArgs(
        name="ray-worker",
        image=args.image,
        image_pull_policy="IfNotPresent",
        env=placement.environment(workers, args.environment),
        readiness_probe=_serve_probe(),
        security_context=pod_security.container(),
        resources=core.v1.ResourceRequirementsArgs(
            limits={"cpu": quantities.canonical(str(size.cpus)), "memory": size.memory, **more},
            requests={
                "cpu": quantities.cpu_share(str(size.cpus), policy.request_share),
                "memory": quantities.memory_share(size.memory, policy.request_share),
                **more,
            },
        ),
    )
    # KubeRay ignores changes to minReplicas and maxReplicas. This annotation makes them trigger a new cluster.
    bounds = {"manta/workers": f"{size.min_workers} to {size.max_workers}"}
    return {
        "groupName": names.WORKER_GROUP,
        "replicas": initial_workers(size),
        "minReplicas": size.min_workers,
        "maxReplicas": size.max_workers,
        "rayStartParams": {},
        "template": _pod_template(
            args, container, workers, _WORKER_ACCOUNT, more_labels=args.worker_labels, annotations=bounds
        ),
    }


class _Account(TypedDict, total=False):
    """Arguments of a pod's spec that decide which ServiceAccount it has, and whether its token is mounted."""

    service_account_name: str
    automount_service_account_token: bool


_WORKER_ACCOUNT: Final = _Account(service_account_name=names.RAY, automount_service_account_token=False)
"""The code of a training runs on workers. It gets the cloud identity of the ServiceAccount, and no rights here."""


def _head_account(size: SizeOptions) -> _Account:
    """KubeRay gives the head of an autoscaled cluster a ServiceAccount that may change workers."""
    return _Account() if is_autoscaled(size) else _Account(automount_service_account_token=False)


def _pod_template(
    args: RayServiceSpecArgs,
    container: core.v1.ContainerArgs,
    place: Placement,
    account: _Account,
    *,
    more_labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, pulumi.Input[str]] | None = None,
    volumes: Sequence[core.v1.VolumeArgs] = (),
) -> core.v1.PodTemplateSpecArgs:
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


def _serve_probe() -> core.v1.ProbeArgs:
    """Probe of Serve's proxy on a worker: the worker takes requests while the proxy answers.

    KubeRay moves the traffic to a new cluster as soon as the application runs there. KubeRay's default probe runs
    every 5 s and would leave the Service without an endpoint until it succeeds.
    """
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path="/-/healthz", port=names.SERVE_PORT),
        period_seconds=1,
        timeout_seconds=2,
        failure_threshold=3,
    )
