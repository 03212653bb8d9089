"""The panels of the dashboard of trainings: scheduled jobs, jobs of Ray, and what the judgements of drift say."""

from collections.abc import Iterator

from infra import names
from infra.components.monitoring.grafana import Panel


def panels(scope: str) -> Iterator[Panel]:
    """Every panel.

    Args:
        scope: PromQL selector of the namespace.
    """
    yield from _scheduled_jobs(scope)
    yield from _ray_jobs(scope)
    yield from _judgements(scope)


def _scheduled_jobs(scope: str) -> Iterator[Panel]:
    jobs = f'{scope}, job_name=~"({names.TRAIN_SCHEDULE}|{names.DRIFT_SCHEDULE})-.*"'
    yield Panel(
        title="Scheduled jobs that run",
        description="Runs of the schedules of trainings and of judgements of drift that have not ended.",
        unit="none",
        queries=[(f"max by (cronjob) (kube_cronjob_status_active{{{scope}}})", "{{cronjob}}")],
    )
    yield Panel(
        title="Time since the last success",
        description="Time since a run of each schedule last ended without an error.",
        unit="s",
        queries=[
            (f"time() - max by (cronjob) (kube_cronjob_status_last_successful_time{{{scope}}})", "{{cronjob}}"),
        ],
    )
    yield Panel(
        title="Duration of the scheduled jobs",
        description="Time that each of the last successful runs took. Kubernetes keeps three.",
        unit="s",
        queries=[
            (
                f"max by (job_name) (kube_job_status_completion_time{{{jobs}}} - kube_job_status_start_time{{{jobs}}})",
                "{{job_name}}",
            )
        ],
    )
    yield Panel(
        title="Failed scheduled jobs",
        description="The last failed runs with their reason, such as `DeadlineExceeded`. Kubernetes keeps three.",
        unit="none",
        queries=[(f"max by (job_name, reason) (kube_job_status_failed{{{jobs}}}) > 0", "{{job_name}} {{reason}}")],
    )


def _ray_jobs(scope: str) -> Iterator[Panel]:
    yield Panel(
        title="Jobs of Ray",
        description="Jobs of the Ray clusters, including those of `manta train` and a job of Ray Serve itself.",
        unit="none",
        queries=[
            (f"sum(ray_running_jobs{{{scope}}})", "run"),
            (f"sum(increase(ray_finished_jobs_total{{{scope}}}[1h]))", "ended in the last hour"),
        ],
    )
    yield Panel(
        title="Tasks that run",
        description="Tasks that trainings and searches run on the Ray workers, by name.",
        unit="none",
        queries=[(f'sum by (Name) (ray_tasks{{{scope}, State="RUNNING"}}) > 0', "{{Name}}")],
    )


def _judgements(scope: str) -> Iterator[Panel]:
    version = "{{model}} {{version}}"
    yield Panel(
        title="Score of the champions",
        description="Scores of the last judgement of `manta drift`: the metric of the gate on rows with labels, and "
        "the accuracy that is estimated without labels.",
        unit="none",
        queries=[
            (f"max by (model, version) (ray_manta_estimated_score{{{scope}}})", f"{version}, estimated without labels"),
            (f"max by (model, version) (ray_manta_realised_score{{{scope}}})", f"{version}, realised"),
        ],
    )
    yield Panel(
        title="Champions to train again",
        description="1 if the last judgement found drift or a fallen score. The series of a version ends when another "
        "version becomes the champion.",
        unit="none",
        queries=[
            (f"max by (model, version) (ray_manta_drift{{{scope}}})", f"{version}, drift"),
            (f"max by (model, version) (ray_manta_score_fell{{{scope}}})", f"{version}, score fell"),
        ],
    )
