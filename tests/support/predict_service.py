"""A prediction service that answers as a test wants, for the tests of `manta predict`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.json_object import JsonObject
from tests.support.json_server import json_server


@contextmanager
def service(
    monkeypatch: pytest.MonkeyPatch, model: JsonObject, answer: Callable[[JsonObject], JsonObject]
) -> Iterator[list[JsonObject]]:
    """A service with this model, and the bodies of the prediction requests that it got."""
    bodies: list[JsonObject] = []

    def predict(body: JsonObject) -> JsonObject:
        bodies.append(body)
        return {"probabilities": None, "model_version": model["model_info"]["version"], "timestamp": "t"} | answer(body)

    routes = {"GET /fastapi_app/model": lambda _: model, "POST /fastapi_app/predict": predict}
    with json_server(routes) as url:
        monkeypatch.setenv("MANTA_SERVE_URL", url)
        yield bodies


def number_model(columns: list[str]) -> JsonObject:
    """What `GET /model` answers for version 7 of a regressor."""
    return {"model_loaded": True, "model_info": {"version": "7"}, "columns": columns, "classes": []}
