"""A model that needs more memory than a container has left is refused, and the next one loads."""

import numpy as np
import pytest

from app.errors import ModelRefusedError
from tests.integration.serving.loading.conftest import Loading
from tests.support import large_forest
from tests.support.fleet_models import COLUMNS, Versions

MIB = 2**20


@pytest.fixture(scope="module")
def forest(loading: Loading) -> str:
    """The number of a version: a forest of more than a million nodes, whose file has 83 MiB."""
    return large_forest.register_in_subprocess(loading.registry.uri)


def test_a_forest_that_runs_into_the_memory_limit_is_refused(loading: Loading, versions: Versions, forest: str) -> None:
    with loading.free_memory(120 * MIB):
        with pytest.raises(ModelRefusedError, match=r"needs more than the 120\.0 MiB of memory that are free"):
            loading.run(loading.loader.prepare(loading.version(forest)))

        assert loading.run(loading.loader.prepare(loading.version(versions.first))).files is not None


def test_a_file_that_is_larger_than_the_memory_is_refused_before_the_download(loading: Loading, forest: str) -> None:
    reason = r"have 8\d\.\d MiB, but only 50\.0 MiB of memory are free"
    with loading.free_memory(50 * MIB), pytest.raises(ModelRefusedError, match=reason):
        loading.run(loading.loader.prepare(loading.version(forest)))


def test_the_forest_loads_when_the_memory_is_free_again(loading: Loading, forest: str) -> None:
    model = loading.run(loading.loader.prepare(loading.version(forest)))

    assert model.predictor.flat is not None
    assert len(model.predictor.flat.trees.nodes) > 1_000_000
    assert model.predictor.predict(np.zeros((2, len(COLUMNS)))).predictions.shape == (2,)
