"""The StatefulSet of the Redis server: one pod that writes each change to its volume within a second."""

from collections.abc import Sequence
from typing import Final

import pulumi
from pulumi_kubernetes import apps, core, meta

from infra import labels, names
from infra.components import placement as placements
from infra.config import quantities
from infra.config.scheduling import Placement
from infra.credentials import from_secret

USER: Final = 999
"""UID and GID of the official image, which owns the volume."""
CONFIG_KEY: Final = "auth.conf"
"""Key of the Secret that holds the configuration file with the password. A file keeps the password out of the
arguments that `ps` shows."""
CONFIG_DIR: Final = "/etc/redis-auth"
DATA_DIR: Final = "/data"
VOLUME: Final = "redis-data"
"""Name of the volume claim. It is no template of the StatefulSet, because the size in a template cannot grow."""
MEMORY: Final = "256Mi"
"""Memory limit; the state of a small Ray cluster takes about 10 MiB."""
MAX_MEMORY: Final = str(int(quantities.value(MEMORY) / 2))
"""Bytes of data, after which Redis refuses writes. The rest is for the copy while Redis rewrites its file: without this
limit the kernel would kill Redis."""


def stateful_set(
    *,
    image: str,
    image_pull_secrets: Sequence[core.v1.LocalObjectReferenceArgs],
    secret_checksum: pulumi.Input[str],
    placement: Placement,
) -> apps.v1.StatefulSetSpecArgs:
    """Spec of the StatefulSet.

    Args:
        image: Image of Redis.
        image_pull_secrets: Value of `imagePullSecrets` in the pod.
        secret_checksum: Digest of the Secret, so that a new password restarts the pod.
        placement: Where the pod runs, and what is added to it.
    """
    return apps.v1.StatefulSetSpecArgs(
        service_name=names.REDIS,
        replicas=1,
        selector=meta.v1.LabelSelectorArgs(match_labels=labels.selector(labels.REDIS)),
        template=core.v1.PodTemplateSpecArgs(
            metadata=meta.v1.ObjectMetaArgs(
                labels=placement.labels | labels.of(labels.REDIS),
                annotations=placement.annotations | {"manta/redis-auth-checksum": secret_checksum},
            ),
            spec=_pod(image, image_pull_secrets, placement),
        ),
    )


def _pod(
    image: str, image_pull_secrets: Sequence[core.v1.LocalObjectReferenceArgs], placement: Placement
) -> core.v1.PodSpecArgs:
    return core.v1.PodSpecArgs(
        **placements.pod_fields(placement),
        automount_service_account_token=False,
        image_pull_secrets=image_pull_secrets,
        security_context=core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            fs_group=USER,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        containers=[_container(image, placement)],
        volumes=[
            core.v1.VolumeArgs(
                name="data",
                persistent_volume_claim=core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=VOLUME),
            ),
            core.v1.VolumeArgs(
                name="auth",
                secret=core.v1.SecretVolumeSourceArgs(
                    secret_name=names.REDIS_SECRET,
                    items=[core.v1.KeyToPathArgs(key=CONFIG_KEY, path=CONFIG_KEY)],
                ),
            ),
        ],
    )


def _container(image: str, placement: Placement) -> core.v1.ContainerArgs:
    return core.v1.ContainerArgs(
        name=names.REDIS,
        image=image,
        image_pull_policy="IfNotPresent",
        command=["redis-server", f"{CONFIG_DIR}/{CONFIG_KEY}"],
        args=[
            *("--dir", DATA_DIR),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--maxmemory", MAX_MEMORY),
            *("--maxmemory-policy", "noeviction"),
        ],
        ports=[core.v1.ContainerPortArgs(name="redis", container_port=names.REDIS_PORT)],
        env=placements.environment(
            placement,
            [core.v1.EnvVarArgs(name="REDISCLI_AUTH", value_from=from_secret(names.REDIS_SECRET, names.PASSWORD_KEY))],
        ),
        readiness_probe=_probe(period_seconds=5, failure_threshold=3),
        liveness_probe=_probe(period_seconds=10, failure_threshold=6, initial_delay_seconds=10),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        ),
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "50m", "memory": "64Mi", **placements.ephemeral_storage(placement)},
            limits={"memory": MEMORY, **placements.ephemeral_storage(placement)},
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name="data", mount_path=DATA_DIR),
            core.v1.VolumeMountArgs(name="auth", mount_path=CONFIG_DIR, read_only=True),
        ],
    )


def _probe(
    *, period_seconds: int, failure_threshold: int, initial_delay_seconds: int | None = None
) -> core.v1.ProbeArgs:
    """Probe that succeeds on PONG only: Redis answers LOADING while it reads its append-only file."""
    return core.v1.ProbeArgs(
        exec_=core.v1.ExecActionArgs(command=["sh", "-c", "redis-cli ping | grep -q PONG"]),
        initial_delay_seconds=initial_delay_seconds,
        period_seconds=period_seconds,
        timeout_seconds=3,
        failure_threshold=failure_threshold,
    )
