"""Models of a user's own code are searched, judged, loaded and answered exactly, on a real platform."""

from pathlib import Path

import httpx
import pytest

from app.cli.state import MODEL_KEY_FILE, STATE_FOLDER
from app.models.registry import Registry
from app.settings import settings
from tests.support import own_model_cases
from tests.support.local import LocalFolder, clean_environment
from tests.support.own_model_cases import CASES, OWN_CLASS, Case


@pytest.mark.usefixtures("no_champion")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_model_of_a_user_is_searched_gated_loaded_and_answered_exactly(
    local: LocalFolder, tmp_path: Path, case: Case
) -> None:
    check(case, local, tmp_path / "project")


def test_a_model_with_a_class_of_the_user_is_answered_exactly_where_pickles_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalFolder(tmp_path)
    with local.run_platform("--allow-pickle", "--name", "own") as platform:
        assert "manta train --model" in platform.output
        key = (tmp_path / STATE_FOLDER / MODEL_KEY_FILE).read_text()

        with own_model_cases.model_key(key, monkeypatch):
            check(OWN_CLASS, local, tmp_path / "project")


def check(case: Case, local: LocalFolder, project: Path) -> None:
    """Train a model as the first one of the platform, load it, and compare the answers."""
    endpoints = local.endpoints
    result = own_model_cases.train(case, project, endpoints, clean_environment())
    load = local.run("load")
    registry = Registry(settings().model_copy(update={"mlflow_tracking_uri": endpoints.mlflow_url}))
    model = registry.fetch(registry.find(endpoints.model_name, version=result["version"])).model

    assert (result["gate"], load.returncode) == ("passed", 0), load.stderr
    assert f"{endpoints.model_name} version {result['version']} serves" in load.stdout
    with httpx.Client(base_url=endpoints.api_url, timeout=60) as api:
        own_model_cases.assert_exact(case, model, api)
