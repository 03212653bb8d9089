"""Check of `manta doctor` whether a Prometheus of the cluster selects the stack's monitors and alerts.

A Prometheus ignores objects that its selectors do not match, without a message.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from app.cli.json_object import JsonObject
from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail
from app.cli.stack.programs import Kubectl, ProgramError

KIND: Final = "prometheuses.monitoring.coreos.com"
SELECTORS: Final = {"monitors": "podMonitorSelector", "alerts": "ruleSelector"}
"""Field of a Prometheus that selects the monitors, and the one that selects the alerts."""
OWN_LABELS: Final = {"app.kubernetes.io/part-of": "manta"}
"""Label that every object of a stack has."""
OPERATORS: Final[Mapping[str, Callable[[str | None, Sequence[str]], bool]]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}
"""<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>"""


def run_checks(configuration: Mapping[str, str], kubectl: Kubectl) -> Iterator[CheckResult]:
    """Check each selector, if the stack creates monitors.

    Args:
        configuration: Configuration of the stack with its defaults.
        kubectl: The stack's cluster.
    """
    if configuration.get("monitoring", "none") == "none":
        return
    labels = OWN_LABELS | json.loads(configuration.get("monitoringLabels") or "{}")
    try:
        servers = kubectl.items(KIND, "--all-namespaces")
    except ProgramError as error:
        yield CheckResult("prometheus", Status.UNSURE, f"it cannot be listed: {error}", "Install the operator.")
        return
    if not servers:
        detail = "the cluster has no Prometheus of a Prometheus operator"
        yield CheckResult("prometheus", Status.UNSURE, detail, "Install one, or: pulumi config set monitoring none")
        return
    for part, field in SELECTORS.items():
        selecting = [_name(server) for server in servers if is_selected(server["spec"].get(field), labels)]
        detail = f"selected by {', '.join(selecting)}" if selecting else f"no Prometheus selects them ({field})"
        next_step = _next_step(servers[0], field)
        yield pass_or_fail(f"prometheus {part}", detail, next_step, has_passed=bool(selecting))


def is_selected(selector: JsonObject | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector matches labels. An empty selector matches every object, and none matches no object."""
    if selector is None:
        return False
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    return all(
        OPERATORS[expression["operator"]](labels.get(expression["key"]), expression.get("values") or [])
        for expression in selector.get("matchExpressions") or []
    )


def _name(server: JsonObject) -> str:
    return f"{server['metadata']['namespace']}/{server['metadata']['name']}"


def _next_step(server: JsonObject, field: str) -> str:
    wanted: JsonObject = (server["spec"].get(field) or {}).get("matchLabels") or {}
    if not wanted:
        return f"Let {_name(server)} select objects with the labels of monitoringLabels: its field {field}."
    return " && ".join(
        f"pulumi config set --path 'monitoringLabels[\"{name}\"]' {value}" for name, value in wanted.items()
    )
