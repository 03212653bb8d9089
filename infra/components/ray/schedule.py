"""Retraining on a schedule: a CronJob that submits the training job to Ray and follows it; the gate decides."""

import shlex
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes import batch

from infra import labels, names
from infra.components.ray.ray_service_spec import POD_SECURITY, UNPRIVILEGED
from infra.config.settings import Settings
from infra.images import references

WORK_DIR: Final = "/work"
"""Empty, so that the job runs the code of the image and nothing is uploaded with it."""
SCRATCH_DIR: Final = "/tmp"  # noqa: S108  (a volume of the pod)
TIME_ZONE: Final = "Etc/UTC"
"""Else the schedule would be in the time zone of the controller."""
LATEST_START_S: Final = 600
"""How late a run may begin where the controller was away; later than that it is left out."""
KEPT: Final = 3
"""Runs of each outcome that stay to be looked at."""
STOP_S: Final = 60
"""Time for the submitter to stop its job in Ray when its own time is over."""


@dataclass(frozen=True, kw_only=True)
class ScheduleArgs:
    """What to train when, and on which Ray."""

    namespace: pulumi.Input[str]
    settings: Settings
    image: pulumi.Input[str]
    after: pulumi.Resource
    """The RayService: a run before it is there would only fail."""


class Schedule(pulumi.ComponentResource):
    """The CronJob, where a schedule is set."""

    def __init__(self, name: str, args: ScheduleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Schedule", name, None, opts)
        if args.settings.schedule.train_schedule:
            metadata: Any = {
                "name": names.SCHEDULE,
                "namespace": args.namespace,
                "labels": labels.of(labels.SCHEDULE),
            }
            batch.v1.CronJob(
                f"{name}-train",
                metadata=metadata,
                spec=cron_job(args.settings, args.image, stack=pulumi.get_stack()),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[args.after]),
            )
        self.register_outputs({})


def cron_job(settings: Settings, image: pulumi.Input[str], *, stack: str) -> Any:  # noqa: ANN401
    """Spec of the CronJob.

    Args:
        settings: Of the stack.
        image: The Ray image, which holds the `manta` command too.
        stack: Name of the stack, for the tags of the run.
    """
    schedule = settings.schedule
    return {
        "schedule": schedule.train_schedule,
        "timeZone": TIME_ZONE,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": LATEST_START_S,
        "successfulJobsHistoryLimit": KEPT,
        "failedJobsHistoryLimit": KEPT,
        "jobTemplate": {
            "metadata": {"labels": labels.of(labels.SCHEDULE)},
            "spec": {
                # A training that failed fails again on the same data; the next run comes by itself.
                "backoffLimit": 0,
                "activeDeadlineSeconds": schedule.train_deadline_minutes * 60,
                "template": {
                    "metadata": {"labels": labels.of(labels.SCHEDULE)},
                    "spec": _pod(settings, image, stack),
                },
            },
        },
    }


def _pod(settings: Settings, image: pulumi.Input[str], stack: str) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": STOP_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": references.pull_secrets(settings.images),
        "securityContext": POD_SECURITY,
        "containers": [_container(settings, image, stack)],
        "volumes": [{"name": "work", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}}],
    }


def _container(settings: Settings, image: pulumi.Input[str], stack: str) -> dict[str, Any]:
    head = names.head_service(settings.cluster.ray_service_name)
    token = {"secretKeyRef": {"name": names.RAY_SECRET, "key": names.RAY_SECRET_KEY}}
    return {
        "name": names.SCHEDULE,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        # It outlives a dropped connection, ends with the exit code of the job, and stops the job when it is stopped.
        "command": ["manta", "train", "--address", f"http://{head}:{names.DASHBOARD_PORT}"],
        "args": shlex.split(settings.schedule.train_options),
        "workingDir": WORK_DIR,
        "env": [
            {"name": "HOME", "value": SCRATCH_DIR},
            {"name": "MANTA_STACK", "value": stack},
            {"name": "MANTA_USER", "value": names.SCHEDULE},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": token},
        ],
        "securityContext": UNPRIVILEGED | {"readOnlyRootFilesystem": True},
        "resources": {
            "requests": {"cpu": "50m", "memory": "192Mi"},
            "limits": {"memory": "512Mi"},
        },
        "volumeMounts": [
            {"name": "work", "mountPath": WORK_DIR},
            {"name": "scratch", "mountPath": SCRATCH_DIR},
        ],
    }
