"""Which registered models a service serves beside its default model, and their champions, by one request to MLflow.

MLflow's client would take a second of processor time for the answer about a thousand models, in the process that
predicts.
"""

from collections.abc import Collection
from typing import Final

import msgspec
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe

from app import names

SERVE_TAG: Final = "manta.serve"
"""Tag of a registered model: `true` if the service serves the model beside its default model."""

API: Final = "/api/2.0/mlflow/registered-models"

PAGE_SIZE: Final = 1000
"""Largest number of models in one answer of MLflow."""


class _Alias(msgspec.Struct):
    alias: str
    version: str


class _Model(msgspec.Struct):
    name: str
    aliases: list[_Alias] = []

    @property
    def champion(self) -> str | None:
        return next((one.version for one in self.aliases if one.alias == names.CHAMPION), None)


class _Page(msgspec.Struct):
    registered_models: list[_Model] = []
    next_page_token: str = ""


class _Answer(msgspec.Struct):
    registered_model: _Model


def read_tagged(uri: str) -> dict[str, str | None]:
    """Read the champions of all models with the tag `SERVE_TAG`: one request for each thousand models.

    Returns:
        Number of the champion by the name of the model; None for a model without a champion.

    Raises:
        MlflowException, OSError: MLflow does not answer.
    """
    return _search(uri, f"tags.`{SERVE_TAG}` = 'true'")


def read_listed(uri: str, listed: Collection[str]) -> dict[str, str | None]:
    """Read the champions of some models by their names: one request for each thousand models.

    An MLflow that cannot search for several names gets one request for each name.

    Args:
        uri: URL of MLflow.
        listed: Names that match `app.names.MODEL_NAME_PATTERN`, so that they hold no quotes.

    Returns:
        Number of the champion by the name of the model; None for a model without a champion, or that does not exist.

    Raises:
        MlflowException, OSError: MLflow does not answer.
    """
    quoted = ", ".join(f"'{name}'" for name in listed)
    try:
        found = _search(uri, f"name IN ({quoted})")
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        return {name: _read_one(uri, name) for name in listed}
    return {name: found.get(name) for name in listed}


def _search(uri: str, condition: str) -> dict[str, str | None]:
    query = {"filter": condition, "max_results": str(PAGE_SIZE)}
    champions: dict[str, str | None] = {}
    while True:
        page = msgspec.json.decode(_get(uri, "/search", query), type=_Page)
        champions |= {model.name: model.champion for model in page.registered_models}
        if not page.next_page_token:
            return champions
        query["page_token"] = page.next_page_token


def _read_one(uri: str, name: str) -> str | None:
    try:
        return msgspec.json.decode(_get(uri, "/get", {"name": name}), type=_Answer).registered_model.champion
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _get(uri: str, path: str, query: dict[str, str]) -> bytes:
    credentials = get_default_host_creds(uri)  # type: ignore[no-untyped-call] # MLflow's functions have no types
    endpoint = f"{API}{path}"
    response = http_request_safe(credentials, endpoint, "GET", params=query)  # type: ignore[no-untyped-call] # as above
    content: bytes = response.content
    return content
