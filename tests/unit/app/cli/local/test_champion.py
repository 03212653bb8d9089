"""The first load of the champion by `manta local`, with answers of the service that a test chooses."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from app.cli.endpoints import Endpoints
from app.cli.local import champion
from app.cli.service import client
from app.errors import LoadInProgressError

BUSY = LoadInProgressError("m version 1 is being loaded.", next_step="Wait.")


def service(monkeypatch: pytest.MonkeyPatch, *, is_loaded: Callable[[int], bool], is_busy: bool) -> list[str]:
    """Answer the requests of the command. Returns their methods, which grow with each request."""
    methods: list[str] = []
    reads = count()

    def call(_: Endpoints, method: str, path: str, *, body: object = None) -> dict[str, Any]:
        methods.append(method)
        if method == "POST" and is_busy:
            raise BUSY
        return {"model_loaded": is_loaded(next(reads)), "path": path, "body": body}

    monkeypatch.setattr(client, "call", call)
    monkeypatch.setattr(champion, "POLL_S", 0.0)
    return methods


def test_a_champion_that_the_service_loads_by_itself_needs_no_load(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = service(monkeypatch, is_loaded=lambda number: number == 3, is_busy=False)

    assert asyncio.run(champion.wait_for_load(Endpoints()))["model_loaded"]
    assert methods == ["GET"] * 4


def test_a_load_is_repeated_while_the_service_is_still_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = champion.OWN_LOAD_POLLS + 3
    methods = service(monkeypatch, is_loaded=lambda number: number == reads, is_busy=True)

    assert asyncio.run(champion.wait_for_load(Endpoints()))["model_loaded"]
    assert methods.count("POST") == 3


def test_a_load_that_never_ends_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = service(monkeypatch, is_loaded=lambda _: False, is_busy=True)

    with pytest.raises(LoadInProgressError, match="is being loaded"):
        asyncio.run(champion.wait_for_load(Endpoints()))
    assert methods.count("GET") == champion.MAX_POLLS
