"""Ray's own dashboards, which Ray's page shows charts of. Ray generates them, so they fit its release.

Reference: <https://docs.ray.io/en/latest/cluster/configure-manage-dashboard.html>.
"""

import importlib.metadata
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import pulumi

from infra import versions
from infra.components.monitoring import grafana
from infra.config.monitoring_options import MonitoringOptions

NAMES: Final = ("default", "serve", "serve_deployment", "data")
"""The dashboards of Ray whose charts its page shows. The others are those of Ray Train and of language models."""
PROGRAM: Final = Path(__file__).with_name("ray_dashboards_program.py")
TIMEOUT_S: Final = 120
NEXT_STEP: Final = "Install the locked packages: make .venv/.infra, or: pulumi config set monitoring none"


class RayDashboardsError(pulumi.RunError):
    """Ray's dashboards cannot be generated."""


def head_environment(options: MonitoringOptions, namespace: str) -> dict[str, str]:
    """Environment variables of the Ray head: the addresses of Prometheus and Grafana, and the uids of the dashboards.

    Args:
        options: The monitoring of the stack.
        namespace: Namespace of the workloads.
    """
    return options.environment(namespace) | (_uids(namespace) if options.has_grafana else {})


@cache
def dashboards(namespace: str) -> dict[str, dict[str, Any]]:
    """Grafana's JSON of each dashboard of Ray, by its name. The values of the JSON have any type.

    Args:
        namespace: Namespace of the workloads, to which the queries are limited.

    Raises:
        RayDashboardsError: See `check_version`; or Ray fails.
    """
    check_version()
    filters = {f"RAY_GRAFANA_{name.upper()}_DASHBOARD_GLOBAL_FILTERS": f'namespace="{namespace}"' for name in NAMES}
    # A process of its own, because Ray takes seconds to import and reads these variables. -P keeps the files beside the
    # program from hiding packages of the same name.
    command = [sys.executable, "-P", str(PROGRAM), *NAMES]
    variables = _uids(namespace) | filters
    try:
        process = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except subprocess.TimeoutExpired as error:
        reason = f"Ray did not generate its dashboards in {TIMEOUT_S} s. Run the command again"
        raise RayDashboardsError(reason) from error
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        reason = f"Ray {versions.RAY} cannot generate its dashboards: {last_line}. {NEXT_STEP}"
        raise RayDashboardsError(reason) from error
    pages = json.loads(process.stdout)
    return {
        f"ray-{name.replace('_', '-')}": page | {"title": f"Ray: {page['title']} ({namespace})"}
        for name, page in pages.items()
    }


def _uids(namespace: str) -> dict[str, str]:
    """Ray's variables for the uids, which differ between the stacks of a Grafana."""
    return {
        f"RAY_GRAFANA_{name.upper()}_DASHBOARD_UID": grafana.uid(f"ray-{name.replace('_', '-')}", namespace)
        for name in NAMES
    }


def check_version() -> None:
    """Refuse a Python environment without the Ray of the stack.

    Raises:
        RayDashboardsError: It has another Ray, or none.
    """
    try:
        installed = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        installed = ""
    if installed != versions.RAY:
        has = f"has Ray {installed}" if installed else "has no Ray"
        raise RayDashboardsError(
            f"The stack creates the dashboards of Ray {versions.RAY}, and this Python environment {has}. {NEXT_STEP}"
        )
