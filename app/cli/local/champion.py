"""The champion of the local platform: whether MLflow has one, whether this release can serve it, and its first load.

The module uses plain HTTP, because importing MLflow takes longer than the requests. The replica checks the whole model.
"""

import asyncio
import re
from typing import Final

import httpx

from app import names
from app.cli.endpoints import Endpoints
from app.cli.json_object import JsonObject
from app.cli.service import client
from app.errors import LoadInProgressError
from app.models.fitted_release import check_fitted_release

REQUEST_TIMEOUT_S: Final = 180.0
"""Timeout of a request to an MLflow server that has just started."""

POLL_S: Final = 0.25
"""Pause between two questions whether the service has loaded the champion."""

OWN_LOAD_POLLS: Final = 40
"""Number of questions before a load is sent. The service usually loads a new champion by itself."""

MAX_POLLS: Final = 480
"""Maximum number of questions: at least two minutes, because the first load waits for imports on a busy machine."""

API: Final = "/api/2.0/mlflow"

ARTIFACTS_SCHEME: Final = "mlflow-artifacts:"
"""Scheme of the artifacts that MLflow's server delivers itself."""

SKLEARN_VERSION: Final = re.compile(r"^ +sklearn_version: *['\"]?([0-9][^'\"\s]*)", re.MULTILINE)
"""Line of the file `MLmodel` with the version of scikit-learn that fitted the model."""


async def find_version(endpoints: Endpoints) -> str | None:
    """Look up the number of the champion; None if there is no champion yet."""
    async with httpx.AsyncClient(base_url=endpoints.mlflow_url, timeout=REQUEST_TIMEOUT_S) as client:
        query = {"name": endpoints.model_name, "alias": names.CHAMPION}
        response = await client.get(f"{API}/registered-models/alias", params=query)
    if not response.is_success:
        return None
    document: JsonObject = response.json()
    return str(document["model_version"]["version"])


async def wait_for_load(endpoints: Endpoints) -> JsonObject:
    """Wait until the service has loaded the champion.

    If it does not do so by itself, a load is sent, and repeated while another load is in progress.

    Returns:
        The body of `GET /model`.

    Raises:
        ApiError: The champion cannot be loaded.
        LoadInProgressError: Another load was in progress all the time.
        PlatformError: The service does not answer.
    """
    for number in range(MAX_POLLS):
        status = await asyncio.to_thread(client.call, endpoints, "GET", "/model")
        if status["model_loaded"]:
            break
        if number >= OWN_LOAD_POLLS:
            try:
                await asyncio.to_thread(client.call, endpoints, "POST", client.LOAD_PATH)
            except LoadInProgressError:
                if number + 1 == MAX_POLLS:
                    raise
        await asyncio.sleep(POLL_S)
    return status


async def check_release(endpoints: Endpoints, version: str) -> None:
    """Refuse a version that another minor version of scikit-learn fitted, as every replica does.

    Args:
        endpoints: Addresses and model of the platform.
        version: Number of the version.

    Raises:
        ModelRefusedError: The minor versions differ.
    """
    model_name = endpoints.model_name
    async with httpx.AsyncClient(base_url=endpoints.mlflow_url, timeout=REQUEST_TIMEOUT_S) as client:
        query = {"name": model_name, "version": version}
        response = await client.get(f"{API}/model-versions/get-download-uri", params=query)
        uri = str(response.json().get("artifact_uri", "")) if response.is_success else ""
        if not uri.startswith(ARTIFACTS_SCHEME):
            return
        folder = httpx.URL(uri).path.strip("/")
        response = await client.get(f"/api/2.0/mlflow-artifacts/artifacts/{folder}/MLmodel")
    fitted_with = SKLEARN_VERSION.search(response.text) if response.is_success else None
    if fitted_with is not None:
        check_fitted_release(fitted_with[1], label=f"{model_name} version {version}")
