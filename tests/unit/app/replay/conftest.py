from datetime import timedelta
from typing import Protocol

import pytest

from app.replay import job
from app.replay.result import Replay
from app.settings import Settings
from tests.support.logged_requests import LoggedVersions


class Replayer(Protocol):
    """Replays the log of some versions through one of them."""

    def __call__(self, logged: LoggedVersions, version: str = "2", *, show_examples: bool = True) -> Replay: ...


@pytest.fixture
def replay(monkeypatch: pytest.MonkeyPatch) -> Replayer:
    """Replays the log of some versions through one of them."""

    def run(logged: LoggedVersions, version: str = "2", *, show_examples: bool = True) -> Replay:
        monkeypatch.setattr(job, "Registry", lambda _: logged)
        monkeypatch.setattr(job, "require_store", lambda _, **_purpose: logged.store)
        settings = Settings(model_name="m").model_copy(update={"show_examples": show_examples})
        return job.run(settings, version=version, period=timedelta(days=7))

    return run
