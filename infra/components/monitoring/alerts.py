"""The alerts of a stack. `docs/how-to/alerts.md` has a section for each: what it means and what to do.

Reference: <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule>.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from infra import names

GROUP: Final = "manta"
ERROR_SHARE: Final = 0.01
"""Share of failed requests above which `MantaErrors` fires."""
PREDICTION_ROUTES: Final = ".+/(predict|infer|invocations)"
"""Routes of predictions in the metrics of Ray Serve."""
ANSWERING_ROLES: Final = "champion|pinned"
"""Roles whose failures reach clients. If a challenger fails, the champion answers; no client waits for a shadow."""
P99_S: Final = 1
"""p99 of a prediction, in seconds, above which `MantaSlow` fires. The buckets of the histogram end at 1.05 s."""
SCHEDULES: Final = {
    names.TRAIN_SCHEDULE: ("Training", "training"),
    names.DRIFT_SCHEDULE: ("Judgement", "judgement of drift"),
}
"""By the name of a CronJob: the word in the names of its alerts, and what a run does."""
SCHEDULE_MARGIN_MINUTES: Final = 5
"""Time beyond the deadline of a run, to pull the image and to start. A run does not start while the one before runs."""
CERTIFICATE_RENEWAL: Final = "certmanager_certificate_renewal_timestamp_seconds"
"""When cert-manager renews a certificate: after two thirds of its time, unless the Certificate says otherwise."""
FREE_SHARE: Final = 0.15
"""Free share of a volume below which `MantaVolumeFull` fires."""


@dataclass(frozen=True, kw_only=True)
class AlertArgs:
    """What decides which alerts a stack has."""

    namespace: str
    """Namespace of the workloads."""
    ray_service_name: str
    has_redis: bool
    """Whether the stack runs a Redis."""
    has_prediction_log: bool
    """Whether the stack has a prediction log."""
    has_certificate: bool
    """Whether clients reach the stack with a certificate of its namespace."""
    deadlines: Mapping[str, int]
    """Longest time of a run in minutes, by the name of each CronJob that trains or judges drift."""
    runbook_url: str
    """Address of the page with the sections of the alerts; empty for no links."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert."""

    name: str
    expression: str
    """PromQL. The alert fires while it has a result."""
    duration: str
    """How long the expression must have a result."""
    severity: Literal["critical", "warning"]
    """`critical`: clients get errors or no answers, or the next fault would stop the service. `warning`: somebody
    should look at it during the day."""
    summary: str


def rule(args: AlertArgs) -> dict[str, object]:
    """Spec of the PrometheusRule."""
    return {"groups": [{"name": GROUP, "rules": [_rule(alert, args) for alert in alerts(args)]}]}


def alerts(args: AlertArgs) -> list[Alert]:
    """Every alert of a stack."""
    scope = f'namespace="{args.namespace}"'
    service = f'{scope}, name="{args.ray_service_name}"'
    return [
        *_serving(scope, service),
        *_versions(scope),
        *_drift(scope),
        *_platform(scope, service),
        *([_prediction_log(scope)] if args.has_prediction_log else []),
        *([_redis(scope)] if args.has_redis else []),
        *([_certificate(args.namespace)] if args.has_certificate else []),
        *(alert for name, minutes in args.deadlines.items() for alert in _schedule(scope, name, minutes)),
    ]


def _serving(scope: str, service: str) -> Iterator[Alert]:
    yield Alert(
        name="MantaNothingServed",
        # `max` leaves one result: two results of one alert with the same labels are an error.
        expression=f"max(absent(ray_manta_served_version{{{scope}}})\n"
        f'or kuberay_service_condition_ready{{{service}, condition="false"}} == 1)',
        duration="5m",
        severity="critical",
        summary="No replica serves a model version, or the RayService is not ready.",
    )
    answering = f'{scope}, role=~"{ANSWERING_ROLES}"'
    failed = f'sum(rate(ray_manta_predictions_total{{{answering}, outcome="error"}}[5m]))'
    yield Alert(
        name="MantaErrors",
        expression=f"{failed}\n/ sum(rate(ray_manta_predictions_total{{{answering}}}[5m])) > {ERROR_SHARE}",
        duration="5m",
        severity="critical",
        summary=f"More than {ERROR_SHARE:.0%} of the prediction requests fail for a reason of the service.",
    )
    refused = f'ray_serve_num_http_requests_total{{{scope}, status_code="503", route=~"{PREDICTION_ROUTES}"}}'
    yield Alert(
        name="MantaRequestsRefused",
        expression=f"sum(rate({refused}[5m])) > 0",
        duration="5m",
        severity="warning",
        summary="Replicas answer prediction requests with 503: they have no version, or more work than they can hold.",
    )
    buckets = f'sum by (le) (rate(ray_manta_prediction_seconds_bucket{{{scope}, role!="shadow"}}[5m]))'
    yield Alert(
        name="MantaSlow",
        expression=f"histogram_quantile(0.99, {buckets}) > {P99_S}",
        duration="10m",
        severity="warning",
        summary=f"One of a hundred predictions takes more than {P99_S} s.",
    )


def _versions(scope: str) -> Iterator[Alert]:
    yield Alert(
        name="MantaVersionsDiffer",
        expression=f"max(ray_manta_served_version{{{scope}}}) != min(ray_manta_served_version{{{scope}}})",
        duration="10m",
        severity="warning",
        summary="The replicas serve different versions of the default model.",
    )
    for name, metric, summary in (
        (
            "MantaChampionNotServed",
            "ray_manta_champion_served",
            "A replica serves another version than the champion: the champion was refused, or cannot be loaded.",
        ),
        (
            "MantaRegistryAway",
            "ray_manta_registry_answers",
            "MLflow does not answer the replicas. They continue to serve; training and loads fail.",
        ),
    ):
        yield Alert(
            name=name,
            expression=f"min({metric}{{{scope}}}) == 0",
            duration="10m",
            severity="warning",
            summary=summary,
        )


def _drift(scope: str) -> Iterator[Alert]:
    version = "{{ $labels.model }} version {{ $labels.version }}"
    for name, metric, summary in (
        ("MantaDrift", "ray_manta_drift", f"The requests of {version} differ from its training rows."),
        ("MantaScoreFell", "ray_manta_score_fell", f"The score of {version} is lower than at its training."),
    ):
        yield Alert(
            name=name,
            # Every replica exports the same judgement: `max` leaves one result for each version.
            expression=f"max by (model, version) ({metric}{{{scope}}}) == 1",
            duration="5m",
            severity="warning",
            summary=summary,
        )


def _platform(scope: str, service: str) -> Iterator[Alert]:
    yield Alert(
        name="MantaHeadDown",
        expression=f'absent(up{{{scope}, container="ray-head"}} == 1)',
        duration="5m",
        severity="critical",
        summary="Prometheus reads no metrics of a Ray head: the head is down, or Prometheus cannot reach it.",
    )
    yield Alert(
        name="MantaUpgradeStuck",
        expression=f'max(kuberay_service_condition_upgrade_in_progress{{{service}, condition="true"}}) == 1',
        duration="45m",
        severity="warning",
        summary="An upgrade to a new Ray cluster has not ended. The old cluster serves.",
    )
    yield Alert(
        name="MantaVolumeFull",
        expression=f"kubelet_volume_stats_available_bytes{{{scope}}}\n"
        f"/ kubelet_volume_stats_capacity_bytes{{{scope}}} < {FREE_SHARE}",
        duration="15m",
        severity="warning",
        summary="The volume {{ $labels.persistentvolumeclaim }} is nearly full.",
    )


def _prediction_log(scope: str) -> Alert:
    return Alert(
        name="MantaRowsNotLogged",
        expression=f"sum(rate(ray_manta_log_dropped_rows_total{{{scope}}}[5m])) > 0",
        duration="10m",
        severity="warning",
        summary="The prediction log loses rows. Predictions are answered.",
    )


def _redis(scope: str) -> Alert:
    return Alert(
        name="MantaRedisDown",
        expression=f'kube_statefulset_status_replicas_ready{{{scope}, statefulset="{names.REDIS}"}} == 0',
        duration="5m",
        severity="critical",
        summary="Redis is down. If the Ray head is lost now, its Ray cluster is lost too.",
    )


def _certificate(namespace: str) -> Alert:
    # The label `namespace` is that of the pod of cert-manager, unless its monitor honors the labels of the metric. The
    # time is 0 before the first certificate.
    renewals = " or ".join(
        f'{CERTIFICATE_RENEWAL}{{{label}="{namespace}"}} > 0' for label in ("exported_namespace", "namespace")
    )
    return Alert(
        name="MantaCertificateNotRenewed",
        expression=f"max by (name) (time() - ({renewals})) > 0",
        duration="60m",
        severity="warning",
        summary="cert-manager should have renewed the certificate {{ $labels.name }}. Clients fail when it ends.",
    )


def _schedule(scope: str, name: str, deadline_minutes: int) -> Iterator[Alert]:
    title, run = SCHEDULES[name]
    cron_job = f'{scope}, cronjob="{name}"'
    failed = (
        f"kube_cronjob_status_last_schedule_time{{{cron_job}}}\n"
        f"unless on (namespace, cronjob) (kube_cronjob_status_last_successful_time{{{cron_job}}}\n"
        f">= on (namespace, cronjob) kube_cronjob_status_last_schedule_time{{{cron_job}}})"
    )
    # The next time follows from the last start, so it is in the past if the run has not started.
    late = f"max by (cronjob) (time() - kube_cronjob_next_schedule_time{{{cron_job}}}) > 0"
    for state, expression, summary in (
        ("Failed", failed, f"The last scheduled {run} has failed, or has not ended within its deadline."),
        ("Late", late, f"The scheduled {run} has not started."),
    ):
        yield Alert(
            name=f"Manta{title}{state}",
            expression=expression,
            duration=f"{deadline_minutes + SCHEDULE_MARGIN_MINUTES}m",
            severity="warning",
            summary=summary,
        )


def _rule(alert: Alert, args: AlertArgs) -> dict[str, object]:
    annotations = {"summary": alert.summary}
    if args.runbook_url:
        annotations["runbook_url"] = f"{args.runbook_url}#{alert.name.lower()}"
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.duration,
        "labels": {"severity": alert.severity, "namespace": args.namespace},
        "annotations": annotations,
    }
