"""Prints Ray's own dashboards as a JSON object, by name. `ray_dashboards.py` runs this file as a process of its own.

Its arguments are the names of the dashboards.
"""

import json
import sys

from ray.dashboard.modules.metrics import grafana_dashboard_factory

if __name__ == "__main__":
    dashboards = {
        name: json.loads(getattr(grafana_dashboard_factory, f"generate_{name}_grafana_dashboard")()[0])
        for name in sys.argv[1:]
    }
    sys.stdout.write(json.dumps(dashboards))
