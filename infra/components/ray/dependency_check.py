"""The Job that checks, before the RayService, what Ray will need: DNS, the API server, Redis and MLflow.

Without it, a wrong password or certificate would show up only after half an hour of waiting for the RayService.
"""

from collections.abc import Sequence
from typing import Final

import pulumi
from pulumi_kubernetes import batch, core, meta

from infra import labels, names
from infra.components import placement
from infra.components.ray import pod_security
from infra.components.ray.spec_args import RayServiceSpecArgs
from infra.credentials import from_secret

DEADLINE_S: Final = 600
"""Time to add a node, to pull the image, and to check. The checks themselves end in a minute."""
TIMEOUT: Final = "12m"
ANNOTATIONS: Final = {
    # A failed Job never becomes complete: the next `pulumi up` creates another Job.
    "pulumi.com/replaceUnready": "true",
}


def register(
    name: str,
    args: RayServiceSpecArgs,
    *,
    namespace: pulumi.Input[str],
    parent: pulumi.Resource,
    after: Sequence[pulumi.Resource],
) -> batch.v1.Job:
    """Register the Job. A change of anything that the Ray head reads replaces the Job, and so repeats the checks.

    Args:
        name: Name of the Pulumi resource.
        args: Inputs of the RayService: the Job's pod has the environment, the labels and the nodes of the head.
        namespace: Namespace of the Job.
        parent: Parent of the Pulumi resource.
        after: Resources that the pod needs: Secrets, Redis, MLflow and the network policies.
    """
    return batch.v1.Job(
        name,
        metadata=meta.v1.ObjectMetaArgs(
            name=names.CHECK, namespace=namespace, labels=labels.of(labels.RAY), annotations=ANNOTATIONS
        ),
        spec=batch.v1.JobSpecArgs(
            backoff_limit=0,  # the program repeats what may pass a moment later
            active_deadline_seconds=DEADLINE_S,
            template=core.v1.PodTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(
                    # The network policies of Ray apply to the pod.
                    labels={**args.head.labels, **labels.selector(labels.RAY), "app.kubernetes.io/name": names.CHECK},
                    annotations={f"manta/{name}-checksum": checksum for name, checksum in args.checksums.items()},
                ),
                spec=core.v1.PodSpecArgs(
                    **placement.pod_fields(args.head),
                    restart_policy="Never",
                    automount_service_account_token=False,
                    image_pull_secrets=args.image_pull_secrets or None,
                    security_context=pod_security.POD,
                    containers=[_container(args)],
                    volumes=args.head_volumes or None,
                ),
            ),
        ),
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create=TIMEOUT, update=TIMEOUT),
        ),
    )


def _container(args: RayServiceSpecArgs) -> core.v1.ContainerArgs:
    """Container that checks, and whose last lines Kubernetes and Pulumi show when it fails."""
    redis = [core.v1.EnvVarArgs(name="RAY_REDIS_ADDRESS", value=args.redis_address)]
    if args.redis_secret is not None:
        password = from_secret(args.redis_secret, names.PASSWORD_KEY)
        redis.append(core.v1.EnvVarArgs(name="REDIS_PASSWORD", value_from=password))
    if args.redis_user:
        redis.append(core.v1.EnvVarArgs(name="REDIS_USERNAME", value=args.redis_user))
    return core.v1.ContainerArgs(
        name=names.CHECK,
        image=args.image,
        image_pull_policy="IfNotPresent",
        command=["python", "-m", "app.dependencies"],
        env=placement.environment(args.head, [*args.head_environment, *redis]),
        termination_message_policy="FallbackToLogsOnError",
        security_context=pod_security.container(),
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "50m", "memory": "128Mi", **placement.ephemeral_storage(args.head)},
            limits={"memory": "512Mi", **placement.ephemeral_storage(args.head)},
        ),
        volume_mounts=args.head_mounts or None,
    )
