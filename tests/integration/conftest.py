"""One platform for all tests of this tier, started as a user starts it."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.local import Local, Started


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    return Local(tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="session")
def platform(local: Local) -> Iterator[Started]:
    """`manta local`, ready: a first model is trained and loaded."""
    with local.started() as started:
        yield started


@pytest.fixture
def api(platform: Started, local: Local) -> Iterator[httpx.Client]:
    """A client of the application's HTTP API, with the token."""
    assert platform.process.poll() is None, platform.output
    target = local.target
    with httpx.Client(base_url=target.api_url, headers=target.serve_headers, timeout=60) as client:
        yield client
