"""The registered models that a service serves beside its default model, and what they serve, by one request.

MLflow's client would take a second of processor time for the answer about a thousand models, in the process that
predicts.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe

from app import names
from app.models.rollout_records import ROLLOUT_TAG

SERVE_TAG: Final = "manta.serve"
"""Tag of a registered model: `true` if the service serves the model beside its default model."""

API: Final = "/api/2.0/mlflow/registered-models"

PAGE_SIZE: Final = 1000
"""Largest number of models in one answer of MLflow."""


class ServedModels(NamedTuple):
    """The models of a service beside its default model."""

    champions: dict[str, str | None]
    """Number of the champion by the name of the model; None for a model without a champion, or that does not exist."""
    followed: frozenset[str]
    """Names of the models with a rollout that has not ended, and of those with the alias `challenger` or `shadow`."""


class _Alias(msgspec.Struct):
    alias: str
    version: str


class _Tag(msgspec.Struct):
    key: str
    value: str = ""


class _Rollout(msgspec.Struct):
    is_closed: bool = False


class _Model(msgspec.Struct):
    name: str
    aliases: list[_Alias] = []
    tags: list[_Tag] = []

    @property
    def champion(self) -> str | None:
        return next((alias.version for alias in self.aliases if alias.alias == names.CHAMPION), None)

    @property
    def is_followed(self) -> bool:
        if any(alias.alias in {names.CHALLENGER, names.SHADOW} for alias in self.aliases):
            return True
        content = next((tag.value for tag in self.tags if tag.key == ROLLOUT_TAG), "")
        try:
            return bool(content) and not msgspec.json.decode(content, type=_Rollout).is_closed
        except msgspec.MsgspecError:  # the tag was changed by hand
            return False


class _Page(msgspec.Struct):
    registered_models: list[_Model] = []
    next_page_token: str = ""


class _Answer(msgspec.Struct):
    registered_model: _Model


def read_tagged(uri: str) -> ServedModels:
    """Read all models with the tag `SERVE_TAG`: one request for each thousand models.

    Raises:
        MlflowException, OSError: MLflow does not answer.
    """
    return _to_served(_search(uri, f"tags.`{SERVE_TAG}` = 'true'"))


def read_listed(uri: str, listed: Collection[str]) -> ServedModels:
    """Read some models by their names: one request for each thousand models.

    An MLflow that cannot search for several names gets one request for each name.

    Args:
        uri: URL of MLflow.
        listed: Names that match `app.names.MODEL_NAME_PATTERN`, so that they hold no quotes.

    Raises:
        MlflowException, OSError: MLflow does not answer.
    """
    quoted = ", ".join(f"'{name}'" for name in listed)
    try:
        models = _search(uri, f"name IN ({quoted})")
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        models = [model for name in listed if (model := _read_one(uri, name)) is not None]
    return _to_served(models, listed)


def _to_served(models: list[_Model], listed: Collection[str] = ()) -> ServedModels:
    champions: dict[str, str | None] = dict.fromkeys(listed)
    champions |= {model.name: model.champion for model in models}
    return ServedModels(champions, frozenset(model.name for model in models if model.is_followed))


def _search(uri: str, condition: str) -> list[_Model]:
    query = {"filter": condition, "max_results": str(PAGE_SIZE)}
    models: list[_Model] = []
    while True:
        page = msgspec.json.decode(_get(uri, "/search", query), type=_Page)
        models += page.registered_models
        if not page.next_page_token:
            return models
        query["page_token"] = page.next_page_token


def _read_one(uri: str, name: str) -> _Model | None:
    try:
        return msgspec.json.decode(_get(uri, "/get", {"name": name}), type=_Answer).registered_model
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
