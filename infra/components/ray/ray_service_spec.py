"""The spec of the RayService: its head group, and how an upgrade replaces the cluster.

`ray_service.py` registers the RayService, `worker_groups.py` computes the worker groups, and `serve_config.py` the
configuration of Ray Serve.
"""

from typing import Final

from pulumi_kubernetes import core

from infra import names, versions
from infra.components import placement
from infra.components.ray import pod_security, worker_groups
from infra.components.ray.pods import head_account, pod_template
from infra.components.ray.spec_args import POLICIES, RayServiceSpecArgs, TargetPolicy
from infra.config import quantities
from infra.credentials import from_secret

HEAD_PORTS: Final = {
    "gcs-server": names.GCS_PORT,
    "dashboard": names.DASHBOARD_PORT,
    "serve": names.SERVE_PORT,  # KubeRay creates the Service for Serve only if the head has a port of this name
}


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
    if args.serve_service is not None:
        spec["serveService"] = args.serve_service
    return spec


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
        "enableInTreeAutoscaling": worker_groups.is_autoscaled(args),
        "headGroupSpec": _head_group(args, policy),
        "workerGroupSpecs": worker_groups.build(args, policy),
    }
    if worker_groups.is_autoscaled(args):
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
        env=placement.environment(args.head, args.head_environment),
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
    account = head_account(is_autoscaled=worker_groups.is_autoscaled(args))
    return {
        # Without CPUs, Ray schedules nothing on the head, so a lost head takes no replica with it.
        "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104  (token required)
        "template": pod_template(args, container, args.head, account, volumes=args.head_volumes),
    }
