"""A replica takes the files that another replica on its node has prepared, instead of preparing the version again."""

import pytest

from app.errors import ModelRefusedError
from app.serving.loading import files
from app.serving.loading.served_model import FilesLocation, ServedModel
from tests.integration.serving.loading.conftest import Loading
from tests.support.fleet_models import ROWS, Versions


def prepare(loading: Loading, number: str, location: FilesLocation | None = None) -> ServedModel:
    return loading.run(loading.loader.prepare(loading.version(number), location))


def location_of(model: ServedModel) -> FilesLocation:
    assert model.files is not None
    return model.files.location


def test_a_forest_is_not_downloaded_and_read_again(loading: Loading, versions: Versions) -> None:
    first = prepare(loading, versions.first)

    with loading.misbehaving("crash"):
        second = prepare(loading, versions.first, location_of(first))

    answers = [model.predictor.predict(ROWS.to_numpy()) for model in (first, second)]
    assert answers[0].equal(answers[1])
    location = location_of(second)
    del first
    assert files.digest(location.folder) == location.digest


def test_a_model_that_scikit_learn_predicts_is_tried_in_a_process_again(loading: Loading, versions: Versions) -> None:
    first = prepare(loading, versions.pipeline)

    with loading.misbehaving("crash"), pytest.raises(ModelRefusedError, match="was killed by SIGSEGV"):
        prepare(loading, versions.pipeline, location_of(first))

    second = prepare(loading, versions.pipeline, location_of(first))
    answers = [model.predictor.predict(ROWS.to_numpy()) for model in (first, second)]
    assert answers[0].equal(answers[1])


def test_files_on_another_node_are_prepared_here(loading: Loading, versions: Versions) -> None:
    first = prepare(loading, versions.first)
    location = location_of(first)
    del first
    assert not location.folder.exists()

    assert location_of(prepare(loading, versions.first, location)).digest == location.digest


def test_files_with_another_digest_are_refused(loading: Loading, versions: Versions) -> None:
    first = prepare(loading, versions.first)
    location = FilesLocation(folder=location_of(first).folder, digest="0" * 64)

    with pytest.raises(ModelRefusedError, match="are damaged"):
        prepare(loading, versions.first, location)


def test_files_of_another_version_are_refused(loading: Loading, versions: Versions) -> None:
    first = prepare(loading, versions.first)

    with pytest.raises(ModelRefusedError, match=f"are of .* version {versions.first} instead of"):
        prepare(loading, versions.second, location_of(first))
