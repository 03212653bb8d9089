"""Builds Grafana's JSON of a dashboard from a table of panels.

Reference: <https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/>.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SCHEMA_VERSION: Final = 39
"""Schema of Grafana 10.4. Later versions of Grafana convert it."""
WIDTH: Final = 12
"""Width of a panel: a dashboard has 24 columns."""
HEIGHT: Final = 8
UID_DIGITS: Final = 12
"""Hexadecimal digits of the namespace's digest in a dashboard's uid, which has at most 40 characters."""
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A chart of time series."""

    title: str
    description: str
    unit: str
    """Grafana's name of a unit, such as `s`, `bytes`, `reqps` or `percentunit`."""
    queries: Sequence[tuple[str, str]]
    """PromQL and legend of each query. A legend names labels as `{{label}}`."""


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard."""

    uid: str
    """Part of the dashboard's address, unique in Grafana."""
    title: str
    panels: Sequence[Panel]


def uid(name: str, namespace: str) -> str:
    """Uid of a dashboard, which differs between the stacks of a Grafana.

    Args:
        name: Name of the dashboard, of at most 20 characters.
        namespace: Namespace of the workloads.
    """
    return f"manta-{name}-{hashlib.sha256(namespace.encode()).hexdigest()[:UID_DIGITS]}"


def build(dashboard: Dashboard) -> dict[str, object]:
    """JSON of a dashboard. Its user chooses the data source."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["manta"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,  # a common cursor in all panels
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]
        },
        "panels": [_panel(index, panel) for index, panel in enumerate(dashboard.panels)],
    }


def _panel(index: int, panel: Panel) -> dict[str, object]:
    row, column = divmod(index, 2)
    return {
        "id": index + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": query, "legendFormat": legend}
            for number, (query, legend) in enumerate(panel.queries)
        ],
    }
