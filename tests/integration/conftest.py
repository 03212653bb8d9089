"""One local platform for all integration tests, started as a user starts it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from app import names
from tests.support import registered_versions
from tests.support.live_rollouts import RolloutPlatform
from tests.support.local import START_TIMEOUT_S, LocalFolder, RunningPlatform


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the shared platform, and give each test the time to start it: any may be the first one."""
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        if isinstance(item, pytest.Function) and "platform" in item.fixturenames:
            item.add_marker(pytest.mark.platform)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S + 300))


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalFolder:
    return LocalFolder(tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="session")
def platform(local: LocalFolder) -> Iterator[RunningPlatform]:
    """A running `manta local` that has trained and loaded a first model. It traces what a client asks it to trace."""
    with local.run_platform("--log-format", "json", "--otlp-endpoint", "mlflow", "--trace-percent", "0") as running:
        yield running


@pytest.fixture
def api(platform: RunningPlatform, local: LocalFolder) -> Iterator[httpx.Client]:
    """An HTTP client of the service, with the token."""
    assert platform.process.poll() is None, platform.output
    endpoints = local.endpoints
    with httpx.Client(base_url=endpoints.api_url, headers=endpoints.serve_headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def rollouts(platform: RunningPlatform, local: LocalFolder) -> Iterator[RolloutPlatform]:
    """The running platform, for tests that begin rollouts or judge what was logged."""
    assert platform.process.poll() is None, platform.output
    endpoints = local.endpoints
    with httpx.Client(base_url=endpoints.api_url, headers=endpoints.serve_headers, timeout=60) as api:
        yield RolloutPlatform(api, MlflowClient(tracking_uri=endpoints.mlflow_url), local.run)


@pytest.fixture
def no_champion(platform: RunningPlatform, local: LocalFolder) -> Iterator[None]:
    """No champion in MLflow during the test. The platform serves its own version again afterwards."""
    assert platform.process.poll() is None, platform.output

    def load(version: str) -> None:
        process = local.run("load", "--version", version)
        assert process.returncode == 0, process.stderr

    registry = MlflowClient(tracking_uri=local.endpoints.mlflow_url)
    with registered_versions.no_champion(registry, load, model=names.MODEL_NAME):
        yield
