"""Versions that exhaust memory, crash natively, hang, point outside of their folder or lie, beside an honest client."""

import json
import random
import time
from collections.abc import Callable
from typing import Final

import httpx
import pytest

from tests.support.hostile import edits
from tests.support.hostile.exchange import Answer
from tests.support.hostile.observation import Case, Observer
from tests.support.hostile.registered import BaseModels, ModelStore
from tests.support.hostile.versions import DEADLY, VERSIONS, HostileVersion
from tests.support.ray_cluster import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

LOAD_S: Final = 60
"""Longest time until the refusal of a version. The deadline of a load is shorter."""
REFUSED: Final = 409
LOADED: Final = 200
MUTATION_S: Final = 45
"""Seconds for which files are mutated and loaded."""


def _load(cluster: Cluster, version: str) -> Answer:
    start_s = time.monotonic()
    try:
        response = cluster.load(version)
    except httpx.HTTPError:
        return Answer(status=0, duration_s=time.monotonic() - start_s)
    return Answer(
        status=response.status_code,
        content_type=response.headers.get("content-type", ""),
        content=response.content,
        duration_s=time.monotonic() - start_s,
    )


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_hostile_version_is_refused_and_harms_nobody(
    version: HostileVersion,
    cluster: Cluster,
    store: ModelStore,
    base_models: BaseModels,
    observer: Observer,
    assert_unharmed: Callable[[Case], None],
) -> None:
    uri = getattr(base_models, version.base)
    number = store.register(uri)
    with edits.edited(store.files(uri)) as files:
        version.edit(files)
        with observer.case(f"load: {version.name}") as case:
            case.answers.append(_load(cluster, number))

    [answer] = case.answers
    assert_unharmed(case)
    assert answer.status == REFUSED, answer
    assert answer.has_a_reason
    assert answer.duration_s < LOAD_S


@pytest.mark.parametrize("version", DEADLY, ids=lambda version: version.name)
def test_an_alias_on_a_hostile_version_harms_nobody(
    version: HostileVersion,
    champion: str,
    cluster: Cluster,
    store: ModelStore,
    base_models: BaseModels,
    observer: Observer,
    assert_unharmed: Callable[[Case], None],
) -> None:
    uri = getattr(base_models, version.base)
    number = store.register(uri)

    def is_refused() -> bool:
        return f"version {number}" in json.dumps([replica["refused"] for replica in cluster.model()["replicas"]])

    with edits.edited(store.files(uri)) as files:
        version.edit(files)
        try:
            with observer.case(f"alias: {version.name}") as case:
                store.move_alias(number)
                wait_until(is_refused, what="a refusal", timeout_s=2 * LOAD_S)
        finally:
            store.move_alias(champion)
            wait_until(lambda: cluster.load(champion).is_success, what="the champion", timeout_s=2 * LOAD_S)

    assert_unharmed(case)


def test_mutated_files_are_refused_or_loaded_and_harm_nobody(
    champion: str,
    cluster: Cluster,
    store: ModelStore,
    base_models: BaseModels,
    observer: Observer,
    assert_unharmed: Callable[[Case], None],
) -> None:
    choices = random.Random(15)  # noqa: S311 - reproducible
    number = store.register(base_models.forest_uri)
    folder = store.files(base_models.forest_uri)
    others: list[str] = []
    with observer.case(f"load: mutated for {MUTATION_S} s") as case:
        while time.monotonic() < case.start_s + MUTATION_S:
            with edits.edited(folder) as files:
                what = edits.mutate(files, choices)
                answer = _load(cluster, number)
            case.answers.append(answer)
            if answer.status == LOADED:
                assert _load(cluster, champion).status == LOADED
            elif answer.status != REFUSED:
                others.append(f"{what}: {answer.status} {answer.content[:300]!r}")

    assert_unharmed(case)
    assert others == []
    assert case.slowest_s < LOAD_S
