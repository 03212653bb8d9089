"""Models of a user's own code are searched, judged, loaded and answered exactly, on a real platform."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app import names
from app.models.registry import Registry
from app.settings import settings
from tests.support import own_model_cases
from tests.support.local import LocalFolder, clean_environment
from tests.support.own_model_cases import CASES, Case


@pytest.fixture
def restored_champion(api: httpx.Client) -> Iterator[None]:
    """Load the champion of the platform again after the test."""
    yield
    api.post("/model/load", json={"name": names.MODEL_NAME, "alias": names.CHAMPION}).raise_for_status()


@pytest.mark.usefixtures("platform", "restored_champion")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_model_of_a_user_is_searched_gated_loaded_and_answered_exactly(
    local: LocalFolder, api: httpx.Client, tmp_path: Path, case: Case
) -> None:
    result = own_model_cases.train(case, tmp_path / "project", local.endpoints, clean_environment())
    loaded = api.post("/model/load", json={"name": case.name}).raise_for_status().json()

    assert (result["gate"], loaded["model_info"]["version"]) == ("passed", result["version"])
    registry = Registry(settings().model_copy(update={"mlflow_tracking_uri": local.endpoints.mlflow_url}))
    model = registry.fetch(registry.find(case.name, version=result["version"])).model
    own_model_cases.assert_exact(case, model, api)
