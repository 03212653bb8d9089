"""The dashboards that the installed Ray generates."""

import importlib.metadata
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import versions
from infra.components.monitoring import pod_monitors, ray_dashboards
from infra.components.monitoring.ray_dashboards import RayDashboardsError
from tests.support.json_object import JsonObject

NAMESPACE = "manta"


@pytest.fixture
def pages() -> dict[str, JsonObject]:
    return ray_dashboards.dashboards(NAMESPACE)


def panels_of(page: JsonObject) -> Iterator[JsonObject]:
    """The panels of a dashboard, those in its rows too."""
    for panel in page["panels"]:
        yield panel
        yield from panel.get("panels", [])


def test_every_dashboard_is_of_the_locked_ray_and_names_the_stack(pages: dict[str, JsonObject]) -> None:
    assert len(pages) == len(ray_dashboards.NAMES)
    for page in pages.values():
        assert f"rayVersion:{versions.RAY}" in page["tags"]
        assert page["title"].startswith("Ray: ")
        assert page["title"].endswith(f"({NAMESPACE})")


def test_every_query_reads_the_metrics_of_the_stack_from_the_data_source_that_the_user_chooses(
    pages: dict[str, JsonObject],
) -> None:
    for page in pages.values():
        kinds = {variable["name"]: variable["type"] for variable in page["templating"]["list"]}
        assert kinds["datasource"] == "datasource"
        for panel in panels_of(page):
            if panel["type"] == "row":
                continue
            assert panel["datasource"] == "${datasource}"
            for target in panel["targets"]:
                assert target["expr"].count("{") == target["expr"].count(f'namespace="{NAMESPACE}"')


def test_no_dashboard_of_ray_reads_a_metric_that_the_monitor_of_ray_drops(pages: dict[str, JsonObject]) -> None:
    dropped = re.compile("|".join(pod_monitors.DROPPED_METRICS))

    metrics = set(re.findall(r"\bray_[a-z0-9_]+", json.dumps(pages)))
    assert "ray_node_cpu_utilization" in metrics
    assert [metric for metric in metrics if dropped.fullmatch(metric)] == []


@pytest.mark.parametrize(("installed", "text"), [("", "has no Ray"), ("2.1.0", "has Ray 2.1.0")])
def test_an_environment_with_another_ray_is_refused(monkeypatch: pytest.MonkeyPatch, installed: str, text: str) -> None:
    def version(name: str) -> str:
        if not installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)

    with pytest.raises(RayDashboardsError) as error:
        ray_dashboards.dashboards("another")

    assert f"dashboards of Ray {versions.RAY}, and this Python environment {text}. Install" in str(error.value)
    assert "make .venv/.infra, or: pulumi config set monitoring none" in str(error.value)


def test_the_last_line_of_a_failed_ray_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit('no dashboards here')\n")
    monkeypatch.setattr(ray_dashboards, "PROGRAM", program)

    with pytest.raises(RayDashboardsError, match="cannot generate its dashboards: no dashboards here"):
        ray_dashboards.dashboards("another")
