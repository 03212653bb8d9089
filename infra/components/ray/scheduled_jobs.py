"""CronJobs that submit a job to Ray and wait for its end: a training, or a judgement of drift.

The promotion gate of a training decides whether the new model version serves.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes import batch, core, meta

from infra import labels, names
from infra.components import placement
from infra.components.ray import pod_security
from infra.config.options import ScheduleOptions
from infra.config.prediction_log_options import PredictionLogOptions
from infra.config.scheduling import Placement
from infra.credentials import from_secret

WORK_DIR: Final = "/work"
"""An empty folder: the job runs the code in the image, and `manta train` uploads nothing."""
SCRATCH_DIR: Final = "/tmp"  # noqa: S108  (a volume of the pod)
TIME_ZONE: Final = "Etc/UTC"
"""Without a time zone, Kubernetes would use that of its controller manager."""
STARTING_DEADLINE_S: Final = 600
"""A run that the CronJob controller could not start within this time is skipped."""
HISTORY_LIMIT: Final = 3
"""Finished Jobs of each outcome that Kubernetes keeps for inspection."""
GRACE_PERIOD_S: Final = 60
"""Time for the submitter to stop its Ray job when the deadline of the run has passed."""
DRIFT_DEADLINE_MINUTES: Final = 60
"""Minutes after which a judgement of drift is stopped."""


@dataclass(frozen=True, kw_only=True)
class ScheduledJobsArgs:
    """What to run, when, and on which Ray cluster."""

    namespace: pulumi.Input[str]
    schedule: ScheduleOptions
    prediction_log: PredictionLogOptions
    placement: Placement
    image: pulumi.Input[str]
    """The Ray image, which contains the `manta` command."""
    image_pull_secrets: Sequence[core.v1.LocalObjectReferenceArgs]
    ray_service_name: str
    ray_secret: pulumi.Input[str]
    """Name of the Secret that holds Ray's token."""
    stack: str
    """Name of the stack, for the tags of the MLflow run."""
    after: pulumi.Resource
    """The RayService: a run that starts before the RayService exists would fail."""


@dataclass(frozen=True, kw_only=True)
class _ScheduledJob:
    """A job with a schedule."""

    name: str
    """Name of the CronJob, and of the user of its runs."""
    schedule: str
    """Cron schedule."""
    deadline_minutes: int
    """Minutes after which a run is stopped."""
    command: list[str]
    """Command that takes the address of Ray's Jobs API as `--address`."""
    options: list[str]
    """Further options of the command."""


class ScheduledJobs(pulumi.ComponentResource):
    """A CronJob for each schedule that the stack sets."""

    def __init__(self, name: str, args: ScheduledJobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # The type token is part of the URN: another token would replace the resource in existing stacks.
        super().__init__("manta:index:Schedule", name, None, opts)
        for suffix, job in _jobs(args.schedule, args.prediction_log).items():
            batch.v1.CronJob(
                f"{name}-{suffix}",
                metadata=meta.v1.ObjectMetaArgs(
                    name=job.name,
                    namespace=args.namespace,
                    labels=labels.of(labels.SCHEDULE),
                ),
                spec=_cron_job(job, args),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[args.after]),
            )
        self.register_outputs({})


def deadlines(schedule: ScheduleOptions, prediction_log: PredictionLogOptions) -> dict[str, int]:
    """Return the minutes after which a run is stopped, by the name of each CronJob that the stack has."""
    return {job.name: job.deadline_minutes for job in _jobs(schedule, prediction_log).values()}


def _jobs(schedule: ScheduleOptions, prediction_log: PredictionLogOptions) -> dict[str, _ScheduledJob]:
    """Return the jobs with a schedule, by the end of the name of the resource."""
    jobs = {}
    if schedule.train_schedule:
        jobs["train"] = _ScheduledJob(
            name=names.TRAIN_SCHEDULE,
            schedule=schedule.train_schedule,
            deadline_minutes=schedule.train_deadline_minutes,
            # `manta train` survives a dropped connection, exits with the job's exit code, and stops the job on SIGTERM.
            command=["manta", "train"],
            options=shlex.split(schedule.train_options),
        )
    if prediction_log.drift_schedule:
        # The command also runs the training that a judgement begins.
        training_minutes = schedule.train_deadline_minutes if prediction_log.retrain_on != "never" else 0
        jobs["drift"] = _ScheduledJob(
            name=names.DRIFT_SCHEDULE,
            schedule=prediction_log.drift_schedule,
            deadline_minutes=DRIFT_DEADLINE_MINUTES + training_minutes,
            command=["python", "-m", "app.cli.jobs.drift"],
            options=[],
        )
    return jobs


def _cron_job(job: _ScheduledJob, args: ScheduledJobsArgs) -> batch.v1.CronJobSpecArgs:
    metadata = meta.v1.ObjectMetaArgs(
        labels=args.placement.labels | labels.of(labels.SCHEDULE), annotations=args.placement.annotations or None
    )
    return batch.v1.CronJobSpecArgs(
        schedule=job.schedule,
        time_zone=TIME_ZONE,
        concurrency_policy="Forbid",
        starting_deadline_seconds=STARTING_DEADLINE_S,
        successful_jobs_history_limit=HISTORY_LIMIT,
        failed_jobs_history_limit=HISTORY_LIMIT,
        job_template=batch.v1.JobTemplateSpecArgs(
            metadata=metadata,
            spec=batch.v1.JobSpecArgs(
                # A failed job would fail again on the same data; the schedule starts the next run anyway.
                backoff_limit=0,
                active_deadline_seconds=job.deadline_minutes * 60,
                template=core.v1.PodTemplateSpecArgs(metadata=metadata, spec=_pod(job, args)),
            ),
        ),
    )


def _pod(job: _ScheduledJob, args: ScheduledJobsArgs) -> core.v1.PodSpecArgs:
    return core.v1.PodSpecArgs(
        **placement.pod_fields(args.placement),
        restart_policy="Never",
        termination_grace_period_seconds=GRACE_PERIOD_S,
        automount_service_account_token=False,
        enable_service_links=False,
        image_pull_secrets=args.image_pull_secrets,
        security_context=pod_security.POD,
        containers=[_container(job, args)],
        volumes=[
            core.v1.VolumeArgs(name="work", empty_dir=core.v1.EmptyDirVolumeSourceArgs()),
            core.v1.VolumeArgs(name="scratch", empty_dir=core.v1.EmptyDirVolumeSourceArgs()),
        ],
    )


def _container(job: _ScheduledJob, args: ScheduledJobsArgs) -> core.v1.ContainerArgs:
    jobs_api = f"http://{names.head_service(args.ray_service_name)}:{names.DASHBOARD_PORT}"
    return core.v1.ContainerArgs(
        name=job.name,
        image=args.image,
        image_pull_policy="IfNotPresent",
        command=[*job.command, "--address", jobs_api],
        args=job.options,
        working_dir=WORK_DIR,
        env=[
            core.v1.EnvVarArgs(name="HOME", value=SCRATCH_DIR),
            core.v1.EnvVarArgs(name="MANTA_STACK", value=args.stack),
            core.v1.EnvVarArgs(name="MANTA_USER", value=job.name),
            core.v1.EnvVarArgs(name="RAY_AUTH_TOKEN", value_from=from_secret(args.ray_secret, names.RAY_SECRET_KEY)),
            *placement.environment(args.placement),
        ],
        security_context=pod_security.container(read_only_root_filesystem=True),
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": "50m", "memory": "192Mi", **placement.ephemeral_storage(args.placement)},
            limits={"memory": "512Mi", **placement.ephemeral_storage(args.placement)},
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name="work", mount_path=WORK_DIR),
            core.v1.VolumeMountArgs(name="scratch", mount_path=SCRATCH_DIR),
        ],
    )
