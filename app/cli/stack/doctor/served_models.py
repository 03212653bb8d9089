"""Check of `manta doctor`: the models that the service serves beside its default model."""

from collections.abc import Iterator
from typing import Final

import httpx

from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail

HTTP_TIMEOUT_S: Final = 5

CHECK: Final = "models"


def run_checks(serve_url: str) -> Iterator[CheckResult]:
    """Check that the service has read its models from MLflow and has refused none of them.

    Nothing is checked if the service does not answer, or belongs to an older release. Another check says so.

    Args:
        serve_url: URL of the service with its route prefix.
    """
    try:
        response = httpx.get(f"{serve_url}/models", timeout=HTTP_TIMEOUT_S)
        content = response.json()
    except (httpx.HTTPError, ValueError):
        return
    if not response.is_success:
        return
    if content["trouble"]:
        yield CheckResult(CHECK, Status.WRONG, content["trouble"], "Check that MLflow answers: see above.")
        return
    default, *others = content["models"]
    refused = [model for model in (default, *others) if model["refused"]]
    loaded = sum(model["state"] == "loaded" for model in others)
    detail = f"{len(others)} beside {default['name']}, {loaded} loaded"
    if refused:
        detail += "; refused: " + "; ".join(f"{model['name']} {model['refused']}" for model in refused)
    next_step = "Load another version: manta serve NAME --version NUMBER (manta load for the default model)"
    yield pass_or_fail(CHECK, detail, next_step, has_passed=not refused)
