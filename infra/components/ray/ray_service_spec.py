"""The RayService's spec, as plain data: what the head and the workers are, and how they are replaced.

`ray_service.py` registers it; `serve_config.py` holds what Ray Serve is told.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

import pulumi

from infra import labels, names
from infra.config import quantities
from infra.config.options import SizeOptions

USER: Final = 1000
"""User of the Ray image."""
POD_SECURITY: Final = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What every pod of that image runs as."""
UNPRIVILEGED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What Pod Security `restricted` asks of a container; the operator copies it to those that it adds."""
HEAD_PORTS: Final = {
    "gcs-server": names.GCS_PORT,
    "dashboard": names.DASHBOARD_PORT,
    "serve": names.SERVE_PORT,  # KubeRay makes the serve Service only for a port of this name
}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What depends on the kind of cluster."""

    requested: Decimal
    """Share of the limits that is reserved."""
    head_cpus_requested: Decimal
    """Share of the head's CPUs that is reserved: it is busy while it starts, and nearly idle from then on."""
    keep_old_s: int
    """Seconds for which the old Ray cluster stays after an upgrade, for requests under way."""


POLICIES: Final[dict[str, Policy]] = {
    # An upgrade runs two Ray clusters for a while: on one small node they fit by half requests.
    "minikube": Policy(requested=Decimal("0.5"), head_cpus_requested=Decimal("0.2"), keep_old_s=15),
    "cloud": Policy(requested=Decimal(1), head_cpus_requested=Decimal(1), keep_old_s=60),
}


SERVE_PROBE: Final = {
    "httpGet": {"path": "/-/healthz", "port": names.SERVE_PORT},
    "periodSeconds": 1,
    "timeoutSeconds": 2,
    "failureThreshold": 3,
}
"""A worker takes requests while Serve's proxy on it does. KubeRay turns traffic to a new cluster as soon as the
application runs there; its own probe, every 5 s, leaves the Service without an endpoint until then."""


@dataclass(frozen=True, kw_only=True)
class RayServiceSpec:
    """What the spec is computed from."""

    size: SizeOptions
    target: Literal["minikube", "cloud"]
    ray_version: str
    image: pulumi.Input[str]
    image_pull_secrets: list[dict[str, str]]
    serve_config: str
    redis_address: pulumi.Input[str]
    redis_has_password: bool
    environment: dict[str, pulumi.Input[str]]
    """Variables of every Ray container, in clear."""
    secret_environment: dict[str, tuple[str, str]]
    """Variables that come from a Secret: its name and key."""
    checksums: dict[str, pulumi.Input[str]] = field(default_factory=dict)
    """Digests of those Secrets by name: a change of one makes a new Ray cluster."""
    serve_node_port: int | None = None
    """Port of every node for Serve, where access is by node ports."""


def build(wanted: RayServiceSpec) -> dict[str, Any]:
    """Spec of a RayService."""
    policy = POLICIES[wanted.target]
    spec: dict[str, Any] = {
        "serveConfigV2": wanted.serve_config,
        # A new cluster takes over when it serves. `None` would accept a change and never apply it.
        "upgradeStrategy": {"type": "NewCluster"},
        "rayClusterDeletionDelaySeconds": policy.keep_old_s,
        # The head holds no replica; as an endpoint it would only be one more thing to fail.
        "excludeHeadPodFromServeSvc": True,
        "rayClusterConfig": _cluster(wanted, policy),
    }
    if wanted.serve_node_port is not None:
        port = {"name": "serve", "port": names.SERVE_PORT, "nodePort": wanted.serve_node_port}
        spec["serveService"] = {"spec": {"type": "NodePort", "ports": [port]}}
    return spec


def is_autoscaled(size: SizeOptions) -> bool:
    """Whether the number of workers can change."""
    return size.min_workers < size.max_workers


def _cluster(wanted: RayServiceSpec, policy: Policy) -> dict[str, Any]:
    redis: dict[str, Any] = {"redisAddress": wanted.redis_address}
    if wanted.redis_has_password:
        redis["redisPassword"] = {"valueFrom": _from_secret(names.REDIS_SECRET, names.PASSWORD_KEY)}
    cluster: dict[str, Any] = {
        "rayVersion": wanted.ray_version,
        "authOptions": {"mode": "token", "secretName": names.RAY_SECRET},
        # No `externalStorageNamespace`: it would make two clusters of an upgrade share one state.
        "gcsFaultToleranceOptions": redis,
        "enableInTreeAutoscaling": is_autoscaled(wanted.size),
        "headGroupSpec": _head(wanted, policy),
        "workerGroupSpecs": [_workers(wanted, policy)],
    }
    if is_autoscaled(wanted.size):
        cluster["autoscalerOptions"] = {
            "version": "v2",
            "securityContext": UNPRIVILEGED,
            "resources": {
                "requests": {"cpu": "50m", "memory": "192Mi"},
                "limits": {"cpu": "500m", "memory": "512Mi"},
            },
        }
    return cluster


def _head(wanted: RayServiceSpec, policy: Policy) -> dict[str, Any]:
    resources = _resources(wanted.size.head_cpus, wanted.size.head_memory, policy)
    resources["requests"]["cpu"] = quantities.cpu_share(wanted.size.head_cpus, policy.head_cpus_requested)
    container = _container("ray-head", wanted, resources)
    container["ports"] = [{"name": name, "containerPort": port} for name, port in HEAD_PORTS.items()]
    return {
        # Without CPUs nothing is scheduled on the head, and losing it takes no replica along.
        "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104  (token required)
        "template": _pod(wanted, container),
    }


def _workers(wanted: RayServiceSpec, policy: Policy) -> dict[str, Any]:
    size = wanted.size
    resources = _resources(str(size.cpus), size.memory, policy)
    if size.gpus:
        for kind in resources.values():
            kind["nvidia.com/gpu"] = str(size.gpus)
    container = _container("ray-worker", wanted, resources)
    container["readinessProbe"] = SERVE_PROBE
    pod = _pod(wanted, container)
    # KubeRay passes over changed bounds: with this they make a new cluster, as every other change does.
    pod["metadata"]["annotations"]["manta/workers"] = f"{size.min_workers} to {size.max_workers}"
    return {
        "groupName": names.WORKER_GROUP,
        # Room for every replica at once; the autoscaler takes it from there.
        "replicas": max(size.min_workers, size.replicas),
        "minReplicas": size.min_workers,
        "maxReplicas": size.max_workers,
        "rayStartParams": {},
        "template": pod,
    }


def _pod(wanted: RayServiceSpec, container: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "securityContext": POD_SECURITY,
        "containers": [container],
        # Two pods of a kind on one node fail together; where there is one node, that is how it is.
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels.selector(labels.RAY)},
            }
        ],
    }
    if wanted.image_pull_secrets:
        spec["imagePullSecrets"] = wanted.image_pull_secrets
    return {
        "metadata": {
            "labels": labels.selector(labels.RAY),
            "annotations": {f"manta/{name}-checksum": value for name, value in wanted.checksums.items()},
        },
        "spec": spec,
    }


def _container(name: str, wanted: RayServiceSpec, resources: dict[str, Any]) -> dict[str, Any]:
    clear = [{"name": key, "value": value} for key, value in sorted(wanted.environment.items())]
    secret = [
        {"name": key, "valueFrom": _from_secret(*place)} for key, place in sorted(wanted.secret_environment.items())
    ]
    return {
        "name": name,
        "image": wanted.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [*clear, *secret],
        "securityContext": UNPRIVILEGED,
        "resources": resources,
    }


def _resources(cpus: str, memory: str, policy: Policy) -> dict[str, dict[str, str]]:
    """Limits as configured, from which Ray takes its own sizes, and requests by the kind of cluster."""
    return {
        "limits": {"cpu": quantities.canonical(cpus), "memory": memory},
        "requests": {
            "cpu": quantities.cpu_share(cpus, policy.requested),
            "memory": quantities.memory_share(memory, policy.requested),
        },
    }


def _from_secret(name: str, key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": key}}
