"""The alerts: each has its section in the runbook, and reads metrics that exist."""

import re

from infra.components.monitoring import alerts, dashboards, pod_monitors
from infra.components.monitoring.alerts import AlertArgs
from tests.support import metric_names
from tests.support.json_object import JsonObject
from tests.support.program import PROJECT

PAGE = PROJECT / "docs" / "how-to" / "alerts.md"
ARGS = AlertArgs(
    namespace="team-a",
    ray_service_name="scoring",
    has_redis=True,
    has_prediction_log=True,
    has_certificate=True,
    deadlines={"train-schedule": 60, "drift-schedule": 120},
    runbook_url="https://wiki.example.com/alerts",
)
ALERTS = {alert.name: alert for alert in alerts.alerts(ARGS)}


def test_every_alert_has_a_section_and_a_line_in_the_table_of_the_runbook() -> None:
    page = PAGE.read_text()

    sections = re.findall(r"^## (\w+)$", page, re.MULTILINE)
    lines = dict(re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (\w+ \| .*) \|$", page, re.MULTILINE))
    assert sorted(sections) == sorted(ALERTS)
    assert lines.keys() == ALERTS.keys()
    for name, alert in ALERTS.items():
        duration = f"{alert.duration.removesuffix('m')} minutes"
        run = re.match("Manta(Training|Judgement)", name)
        expected = f"the deadline of a {run[1].lower()} and 5 minutes" if run else duration
        assert lines[name] == f"{alert.severity} | {expected}"


def test_an_alert_links_to_its_section() -> None:
    spec: JsonObject = alerts.rule(ARGS)

    links = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in spec["groups"][0]["rules"]}
    assert links["MantaErrors"] == "https://wiki.example.com/alerts#mantaerrors"
    assert links.keys() == ALERTS.keys()


def test_alerts_of_parts_that_a_stack_does_not_have_are_left_out() -> None:
    args = AlertArgs(
        namespace="a",
        ray_service_name="manta",
        has_redis=False,
        has_prediction_log=False,
        has_certificate=False,
        deadlines={},
        runbook_url="",
    )

    missing = ALERTS.keys() - {alert.name for alert in alerts.alerts(args)}
    assert missing == {
        "MantaRedisDown",
        "MantaRowsNotLogged",
        "MantaCertificateNotRenewed",
        "MantaJudgementFailed",
        "MantaJudgementLate",
        "MantaTrainingFailed",
        "MantaTrainingLate",
    }
    spec: JsonObject = alerts.rule(args)
    assert all(rule["annotations"].keys() == {"summary"} for rule in spec["groups"][0]["rules"])


def queries() -> set[str]:
    """Every query of an alert or a dashboard."""
    panels: list[JsonObject] = [
        panel
        for page in dashboards.dashboards("team-a").values()
        for panel in page["panels"]  # type: ignore[attr-defined] # JSON
    ]
    return {alert.expression for alert in ALERTS.values()} | {
        target["expr"] for panel in panels for target in panel["targets"]
    }


def test_every_metric_that_an_alert_or_a_dashboard_reads_exists() -> None:
    existing = metric_names.of_application() | metric_names.exported()

    assert len(queries()) > len(ALERTS)
    for query in queries():
        assert metric_names.read_by(query)
        assert metric_names.read_by(query) - existing == set(), query
        assert query.count("{") == query.count('namespace="team-a"'), query


def test_no_alert_or_dashboard_reads_a_metric_that_the_monitor_of_ray_drops() -> None:
    dropped = re.compile("|".join(pod_monitors.DROPPED_METRICS))

    metrics = set().union(*(metric_names.read_by(query) for query in queries()))
    assert "ray_manta_predictions_total" in metrics
    assert [metric for metric in metrics if dropped.fullmatch(metric)] == []
