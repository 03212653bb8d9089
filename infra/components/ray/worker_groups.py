"""The worker groups of a Ray cluster: the workers that serve, those that train, and further ones for jobs.

Where another group runs the jobs, the workers that serve offer Ray no CPU, only the resource that a replica takes. So
no task and no driver of a job ever shares their memory.
"""

import json
from typing import Final

import pulumi
from pulumi_kubernetes import core

from infra import names
from infra.components import placement
from infra.components.ray import pod_security, serve_config
from infra.components.ray.pods import TRAINING_ACCOUNT, WORKER_ACCOUNT, Account, pod_template
from infra.components.ray.spec_args import RayServiceSpecArgs, TargetPolicy
from infra.config import quantities
from infra.config.options import SizeOptions
from infra.config.scheduling import Placement
from infra.config.worker_options import WorkerGroup

GPU_TOLERATION: Final = Placement(tolerations=(placement.GPU_TOLERATION,))


def build(args: RayServiceSpecArgs, policy: TargetPolicy) -> list[dict[str, object]]:
    """Every group: first the workers that serve."""
    size = args.size
    serving = WorkerGroup(
        name=names.WORKER_GROUP,
        cpus=size.cpus,
        memory=size.memory,
        gpus=size.gpus,
        min_workers=size.min_workers,
        max_workers=size.max_workers,
    )
    start_params = _serving_start_params(size) if args.groups else {}
    return [
        _group(args, serving, policy, replicas=initial_workers(size), start_params=start_params),
        *(
            _group(args, group, policy, replicas=group.min_workers, start_params={}, account=TRAINING_ACCOUNT)
            for group in args.groups
        ),
    ]


def is_autoscaled(args: RayServiceSpecArgs) -> bool:
    """Whether the number of workers of any group can change."""
    return args.size.min_workers < args.size.max_workers or any(
        group.min_workers < group.max_workers for group in args.groups
    )


def initial_workers(size: SizeOptions) -> int:
    """Enough workers for every replica at the start; the autoscaler changes the number afterwards."""
    return max(size.min_workers, size.replicas)


def _serving_start_params(size: SizeOptions) -> dict[str, str]:
    """Parameters of `ray start` for workers that only serve. KubeRay passes them to a shell."""
    resources = json.dumps({names.REPLICA_RESOURCE: serve_config.replicas_per_worker(size)})
    return {"num-cpus": "0", "resources": json.dumps(resources)}


def _group(
    args: RayServiceSpecArgs,
    group: WorkerGroup,
    policy: TargetPolicy,
    *,
    replicas: int,
    start_params: dict[str, str],
    account: Account = WORKER_ACCOUNT,
) -> dict[str, object]:
    place = args.workers.merge(group.placement)
    more = placement.ephemeral_storage(place)
    if group.gpus:
        place = place.merge(GPU_TOLERATION)
        more[placement.GPU] = str(group.gpus)
    container = core.v1.ContainerArgs(
        name="ray-worker",
        image=group.image or args.image,
        image_pull_policy="IfNotPresent",
        env=placement.environment(place, args.environment),
        ports=[core.v1.ContainerPortArgs(name=names.HAPROXY_PORT_NAME, container_port=names.HAPROXY_METRICS_PORT)],
        readiness_probe=_serve_probe(),
        security_context=pod_security.container(),
        resources=core.v1.ResourceRequirementsArgs(
            limits={"cpu": quantities.canonical(str(group.cpus)), "memory": group.memory, **more},
            requests={
                "cpu": quantities.cpu_share(str(group.cpus), policy.request_share),
                "memory": quantities.memory_share(group.memory, policy.request_share),
                **more,
            },
        ),
    )
    # KubeRay ignores changes to minReplicas and maxReplicas. This annotation makes them trigger a new cluster.
    bounds: dict[str, pulumi.Input[str]] = {"manta/workers": f"{group.min_workers} to {group.max_workers}"}
    return {
        "groupName": group.name,
        "replicas": replicas,
        "minReplicas": group.min_workers,
        "maxReplicas": group.max_workers,
        "rayStartParams": start_params,
        "template": pod_template(args, container, place, account, more_labels=args.worker_labels, annotations=bounds),
    }


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
