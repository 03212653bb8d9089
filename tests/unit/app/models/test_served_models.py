"""Reading the models of the service and their champions from MLflow."""

import pytest

from app.errors import RegistryUnavailableError
from app.models.registry import Registry
from app.models.served_models import ServedModels
from app.settings import Settings
from tests.support.json_object import JsonObject
from tests.support.json_server import Answer, json_server

SEARCH = "GET /api/2.0/mlflow/registered-models/search"
GET = "GET /api/2.0/mlflow/registered-models/get"


def read_all(answers: dict[str, Answer], *listed: str) -> ServedModels:
    with json_server(answers) as url:
        return Registry(Settings(mlflow_tracking_uri=url)).served_models(listed)


def read(answers: dict[str, Answer], *listed: str) -> dict[str, str | None]:
    return read_all(answers, *listed).champions


def model(name: str, **aliases: str) -> JsonObject:
    entries = [{"alias": alias, "version": version} for alias, version in aliases.items()]
    return {"name": name, "tags": [], "creation_timestamp": 0} | ({"aliases": entries} if entries else {})


def test_all_pages_of_the_tagged_models_are_read() -> None:
    pages: list[JsonObject] = [
        {"registered_models": [model("a", champion="3", shadow="4"), model("b")], "next_page_token": "next"},
        {"registered_models": [model("c", shadow="1")]},
    ]

    assert read({SEARCH: lambda _: pages.pop(0)}) == {"a": "3", "b": None, "c": None}
    assert read({SEARCH: lambda _: {}}) == {}


def test_models_with_a_challenger_a_shadow_or_an_open_rollout_are_followed() -> None:
    tags = {"open": '{"is_closed": false, "step": 1}', "ended": '{"is_closed": true}', "broken": "{", "none": ""}
    models = [
        model(name) | {"tags": [{"key": "other", "value": "x"}, {"key": "manta.rollout", "value": content}]}
        for name, content in tags.items()
    ]
    answer: JsonObject = {
        "registered_models": [
            *models,
            model("alias", challenger="2"),
            model("shadow", shadow="2"),
            model("plain", champion="1"),
        ]
    }

    assert read_all({SEARCH: lambda _: answer}).followed == {"open", "alias", "shadow"}


def test_listed_models_are_read_by_one_request_and_one_that_does_not_exist_has_no_champion() -> None:
    answers: list[JsonObject] = [{"registered_models": [model("a", champion="3")]}]

    assert read({SEARCH: lambda _: answers.pop(0)}, "a", "b") == {"a": "3", "b": None}


def test_an_older_mlflow_that_cannot_search_for_several_names_is_asked_for_each() -> None:
    refused: tuple[int, JsonObject] = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid comparator"})
    missing: JsonObject = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}
    answers: list[JsonObject | tuple[int, JsonObject]] = [
        {"registered_model": model("a", champion="3")},
        (404, missing),
    ]

    assert read({SEARCH: lambda _: refused, GET: lambda _: answers.pop(0)}, "a", "b") == {"a": "3", "b": None}


@pytest.mark.parametrize("listed", [(), ("a",)])
def test_an_error_of_mlflow_is_an_unavailable_registry(listed: tuple[str, ...]) -> None:
    error: tuple[int, JsonObject] = (403, {"error_code": "PERMISSION_DENIED", "message": "not allowed"})

    with pytest.raises(RegistryUnavailableError, match="not allowed"):
        read({SEARCH: lambda _: error, GET: lambda _: error}, *listed)
