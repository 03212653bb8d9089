"""The alerts in a real Prometheus: none fires while all is well, and each fires on its fault."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.components.monitoring import alerts
from infra.components.monitoring.alerts import AlertArgs
from tests.support import tools

PROMTOOL = shutil.which("promtool", path=tools.find().path)
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on PATH or in MANTA_E2E_TOOLS/bin")

SCHEDULES = TRAIN, DRIFT = "train-schedule", "drift-schedule"
ARGS = AlertArgs(
    namespace="team-a",
    ray_service_name="scoring",
    has_redis=True,
    has_prediction_log=True,
    has_certificate=True,
    deadlines={TRAIN: 60, DRIFT: 90},
    runbook_url="",
)
ALERTS = {alert.name: alert for alert in alerts.alerts(ARGS)}
MINUTES = 120
Series = dict[str, str]
"""Values of each series, in the notation of promtool."""


def series(metric: str, /, **labels: str) -> str:
    pairs = ", ".join(f'{label}="{value}"' for label, value in {"namespace": "team-a", **labels}.items())
    return f"{metric}{{{pairs}}}"


def constant(value: float) -> str:
    return f"{value}x{MINUTES}"


def growing(per_minute: float) -> str:
    return f"0+{per_minute}x{MINUTES}"


def bucket(le: str) -> str:
    return series("ray_manta_prediction_seconds_bucket", le=le, version="7", role="champion")


def predictions(outcome: str, role: str = "champion") -> str:
    return series("ray_manta_predictions_total", outcome=outcome, role=role)


def requests(status: str) -> str:
    return series("ray_serve_num_http_requests_total", status_code=status, route="/fastapi_app/predict")


def cron_job(name: str, schedule: str) -> str:
    return series(f"kube_cronjob_status_last_{name}_time", cronjob=schedule)


def next_run(schedule: str) -> str:
    return series("kube_cronjob_next_schedule_time", cronjob=schedule)


def renewal(**namespaces: str) -> str:
    return series("certmanager_certificate_renewal_timestamp_seconds", name="manta", **namespaces)


def service(condition: str, value: str) -> str:
    return series(f"kuberay_service_condition_{condition}", name="scoring", condition=value)


def drift(metric: str, replica: str) -> str:
    return series(f"ray_manta_{metric}", model="houses", version="7", replica=replica)


HEALTHY: Series = {
    **{series("ray_manta_served_version", replica=replica): constant(7) for replica in "ab"},
    series("ray_manta_champion_served", replica="a"): constant(1),
    series("ray_manta_registry_answers", replica="a"): constant(1),
    predictions("answered"): growing(1000),
    predictions("client_error"): growing(500),
    predictions("error"): growing(1),
    predictions("error", role="challenger"): growing(500),
    requests("200"): growing(1000),
    bucket("0.262144"): growing(1000),
    bucket("1.04858"): growing(1000),
    bucket("+Inf"): growing(1000),
    series("ray_manta_log_dropped_rows_total", replica="a"): constant(3),
    **{drift(metric, replica): constant(0) for metric in ("drift", "score_fell") for replica in "ab"},
    series("up", container="ray-head"): constant(1),
    series("kube_statefulset_status_replicas_ready", statefulset="redis"): constant(1),
    service("ready", "true"): constant(1),
    service("upgrade_in_progress", "false"): constant(1),
    series("kubelet_volume_stats_available_bytes", persistentvolumeclaim="mlflow"): constant(50),
    series("kubelet_volume_stats_capacity_bytes", persistentvolumeclaim="mlflow"): constant(100),
    **{cron_job("schedule", schedule): constant(1000) for schedule in SCHEDULES},
    **{cron_job("successful", schedule): constant(1060) for schedule in SCHEDULES},
    **{next_run(schedule): constant(90_000) for schedule in SCHEDULES},
    renewal(exported_namespace="team-a", namespace="cert-manager"): constant(5_000_000),
    renewal(exported_namespace="team-b", namespace="cert-manager"): constant(60),
    series("certmanager_certificate_renewal_timestamp_seconds", name="not issued yet"): constant(0),
}
FAULTS: dict[str, tuple[str, dict[str, str | None]]] = {
    "no version is loaded": (
        "MantaNothingServed",
        {series("ray_manta_served_version", replica=replica): None for replica in "ab"},
    ),
    "the RayService is not ready": (
        "MantaNothingServed",
        {service("ready", "true"): None, service("ready", "false"): constant(1)},
    ),
    "nothing works": (
        "MantaNothingServed",
        {
            **{series("ray_manta_served_version", replica=replica): None for replica in "ab"},
            service("ready", "false"): constant(1),
        },
    ),
    "the model raises": ("MantaErrors", {predictions("error"): growing(50)}),
    "replicas have no place": ("MantaRequestsRefused", {requests("503"): growing(1)}),
    "predictions take seconds": ("MantaSlow", {bucket("0.262144"): growing(0), bucket("1.04858"): growing(900)}),
    "a replica stays behind": (
        "MantaVersionsDiffer",
        {series("ray_manta_served_version", replica="b"): constant(6)},
    ),
    "the champion is refused": (
        "MantaChampionNotServed",
        {series("ray_manta_champion_served", replica="b"): constant(0)},
    ),
    "MLflow is away": ("MantaRegistryAway", {series("ray_manta_registry_answers", replica="b"): constant(0)}),
    "the prediction log cannot be written": (
        "MantaRowsNotLogged",
        {series("ray_manta_log_dropped_rows_total", replica="a"): growing(100)},
    ),
    "the head is down": ("MantaHeadDown", {series("up", container="ray-head"): constant(0)}),
    "Redis is down": (
        "MantaRedisDown",
        {series("kube_statefulset_status_replicas_ready", statefulset="redis"): constant(0)},
    ),
    "an upgrade does not end": ("MantaUpgradeStuck", {service("upgrade_in_progress", "true"): constant(1)}),
    "the requests changed": ("MantaDrift", {drift("drift", replica): constant(1) for replica in "ab"}),
    "the score fell": ("MantaScoreFell", {drift("score_fell", "b"): constant(1)}),
    "a volume fills": (
        "MantaVolumeFull",
        {series("kubelet_volume_stats_available_bytes", persistentvolumeclaim="mlflow"): constant(14)},
    ),
    "a training failed": ("MantaTrainingFailed", {cron_job("successful", TRAIN): constant(900)}),
    "no training has succeeded": ("MantaTrainingFailed", {cron_job("successful", TRAIN): None}),
    "no training has started": ("MantaTrainingLate", {next_run(TRAIN): constant(1200)}),
    "a judgement failed": ("MantaJudgementFailed", {cron_job("successful", DRIFT): constant(900)}),
    "no judgement has started": ("MantaJudgementLate", {next_run(DRIFT): constant(1200)}),
    "a certificate is not renewed": (
        "MantaCertificateNotRenewed",
        {renewal(exported_namespace="team-a", namespace="cert-manager"): constant(1200)},
    ),
    "a certificate is not renewed, and the monitor of cert-manager honors labels": (
        "MantaCertificateNotRenewed",
        {renewal(): constant(1200)},
    ),
}
LABELS = {
    "MantaDrift": {"model": "houses", "version": "7"},
    "MantaScoreFell": {"model": "houses", "version": "7"},
    "MantaRedisDown": {"statefulset": "redis"},
    "MantaVolumeFull": {"persistentvolumeclaim": "mlflow"},
    "MantaTrainingFailed": {"cronjob": TRAIN},
    "MantaTrainingLate": {"cronjob": TRAIN},
    "MantaJudgementFailed": {"cronjob": DRIFT},
    "MantaJudgementLate": {"cronjob": DRIFT},
    "MantaCertificateNotRenewed": {"name": "manta"},
}
"""Labels of a firing alert beside its severity and namespace."""


def evaluate(folder: Path, values: Series, firing: set[str]) -> None:
    """Let Prometheus evaluate the rules for `MINUTES`, and compare which alerts fire at the end.

    Raises:
        AssertionError: Other alerts fire. The message is promtool's.
    """
    tests = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": text} for name, text in values.items()],
                "alert_rule_test": [
                    {
                        "eval_time": f"{MINUTES}m",
                        "alertname": name,
                        "exp_alerts": [_firing(name)] if name in firing else [],
                    }
                    for name in ALERTS
                ],
            }
        ],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump(alerts.rule(ARGS)))
    (folder / "tests.yaml").write_text(yaml.safe_dump(tests))
    assert PROMTOOL is not None
    command = [PROMTOOL, "test", "rules", "tests.yaml"]
    process = subprocess.run(
        command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stdout + process.stderr


def _firing(name: str) -> dict[str, object]:
    labels = LABELS.get(name, {})
    summary = ALERTS[name].summary
    for label, value in labels.items():
        summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
    return {
        "exp_labels": {"severity": ALERTS[name].severity, "namespace": "team-a", **labels},
        "exp_annotations": {"summary": summary},
    }


@needs_promtool
def test_no_alert_fires_while_all_is_well(tmp_path: Path) -> None:
    evaluate(tmp_path, HEALTHY, firing=set())


@needs_promtool
@pytest.mark.parametrize("fault", FAULTS)
def test_exactly_the_alert_of_a_fault_fires(tmp_path: Path, fault: str) -> None:
    name, changes = FAULTS[fault]
    values = {key: value for key, value in (HEALTHY | changes).items() if value is not None}

    evaluate(tmp_path, values, firing={name})


def test_every_alert_is_provoked() -> None:
    assert {name for name, _ in FAULTS.values()} == ALERTS.keys()
