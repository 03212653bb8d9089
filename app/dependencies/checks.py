"""Runs all checks at the same time, and repeats those that may pass a moment later."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from app.dependencies import kubernetes_check, mlflow_check, redis_check
from app.dependencies.redis_check import RedisAddress
from app.dependencies.result import CheckFailedError, Result, Status
from app.settings import DependencySettings

PATIENCE_S: Final = 25.0
"""Time in which a check is repeated: a network policy takes effect some seconds after its pod has started."""
PAUSE_S: Final = 1.0

Check = Callable[[], Result]


def run(settings: DependencySettings, *, patience_s: float = PATIENCE_S) -> list[Result]:
    """Run every check that the settings allow, in less than a minute.

    Args:
        settings: Where the dependencies are.
        patience_s: Time in which a check that may pass a moment later is repeated.
    """
    checks = _checks(settings)
    with ThreadPoolExecutor(max_workers=len(checks)) as threads:
        futures = [threads.submit(_run, name, check, patience_s) for name, check in checks.items()]
        return [future.result() for future in futures]


def _checks(settings: DependencySettings) -> Mapping[str, Check]:
    checks: dict[str, Check] = {
        mlflow_check.NAME: lambda: mlflow_check.check(
            settings.mlflow_tracking_uri,
            user=settings.mlflow_user,
            password=settings.mlflow_password,
            experiment=settings.experiment,
        )
    }
    if settings.api_server_host:
        checks[kubernetes_check.NAME] = lambda: kubernetes_check.check(
            settings.api_server_host, settings.api_server_port
        )
    if settings.redis_address:
        address = RedisAddress.parse(
            settings.redis_address,
            user=settings.redis_user,
            password=settings.redis_password,
            authorities=settings.redis_authorities,
        )
        checks[redis_check.NAME] = lambda: redis_check.check(address)
    return checks


def _run(name: str, check: Check, patience_s: float) -> Result:
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            return check()
        except CheckFailedError as error:
            if not error.is_transient or time.monotonic() >= deadline_s:
                return Result(check=name, status=Status.WRONG, detail=error.detail, next_step=error.next_step)
        time.sleep(PAUSE_S)
