"""Copies of a version, on the node or from another replica, are checked as a download is."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import ModelRefusedError
from app.serving.loading import files, packing
from app.serving.loading.loader import ModelLoader
from app.serving.loading.served_model import PackedModel, ServedModel
from tests.integration.serving.loading.conftest import Loading
from tests.support.fleet_models import ROWS, Versions

KINDS = ["first", "pipeline", "text"]


def prepared(loading: Loading, versions: Versions, kind: str) -> ServedModel:
    return loading.run(loading.loader.prepare(loading.version(getattr(versions, kind))))


@pytest.fixture
def cache(loading: Loading) -> Path:
    """The folder of the copies, empty at the start of each test."""
    folder = loading.loader._store._folder
    if folder.exists():
        loading.loader._store.delete()
    return folder


def answers(model: ServedModel) -> object:
    holds_text = model.predictor.columns.hold_text
    rows = np.array(model.example.features, dtype=object) if holds_text else ROWS.to_numpy()
    answers = model.predictor.predict(rows)
    assert answers.probabilities is not None
    return answers.predictions.tolist(), answers.probabilities.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_kept_copy_answers_as_the_version_does(
    loading: Loading, versions: Versions, cache: Path, kind: str
) -> None:
    model = prepared(loading, versions, kind)
    loading.run(loading.loader.keep(prepared(loading, versions, "second")))
    loading.run(loading.loader.keep(model))

    kept = loading.run(loading.loader.last_kept())

    assert kept is not None
    assert answers(kept) == answers(model)
    assert vars(kept.version) | {"_tags": {}} == vars(model.version) | {"_tags": {}}
    assert kept.example == model.example
    assert len(list(cache.glob("*-*"))) == 1


@pytest.mark.usefixtures("cache")
def test_there_is_no_copy_before_a_version_is_kept(loading: Loading) -> None:
    assert loading.run(loading.loader.last_kept()) is None


def test_a_loader_of_another_mlflow_does_not_use_the_copy(loading: Loading, versions: Versions, cache: Path) -> None:
    loading.run(loading.loader.keep(prepared(loading, versions, "first")))

    async def last_kept() -> ServedModel | None:
        other = ModelLoader(mlflow_uri="http://127.0.0.1:9", model_cache=cache.parent)
        try:
            return await other.last_kept()
        finally:
            await other.close()

    assert loading.run(last_kept()) is None


def test_several_replicas_keep_and_read_at_once(loading: Loading, versions: Versions, cache: Path) -> None:
    models = [prepared(loading, versions, kind) for kind in ("first", "second")]

    async def use() -> list[ServedModel | None]:
        loader = loading.loader
        await loader.keep(models[0])
        results = await asyncio.gather(
            *(loader.keep(models[index % 2]) for index in range(10)), *(loader.last_kept() for _ in range(5))
        )
        return [result for result in results[10:]]  # noqa: C416 - gather's type is a union

    assert all(model is not None for model in loading.run(use()))
    assert len(list(cache.glob("*-*"))) == 1


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def make_link(folder: Path) -> None:
    (folder / "trees.npy").unlink()
    (folder / "trees.npy").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: flip(folder / "nodes.npy"),
        lambda folder: flip(folder / "model.json"),
        lambda folder: (folder / "values.npy").unlink(),
        lambda folder: (folder / "more").write_text(""),
        make_link,
    ],
    ids=["a node", "the manifest", "a missing file", "a file more", "a link"],
)
def test_a_changed_copy_is_not_used_and_deleted(
    loading: Loading,
    versions: Versions,
    cache: Path,
    change: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    loading.run(loading.loader.keep(prepared(loading, versions, "first")))
    [folder] = cache.glob("kept-*")
    change(folder)

    assert loading.run(loading.loader.last_kept()) is None

    assert "The copy on this node is deleted" in caplog.text
    assert list(cache.glob("kept-*")) == []


@pytest.mark.parametrize("key", ["scikit_learn", "format"])
def test_a_copy_of_another_release_is_not_used(loading: Loading, versions: Versions, cache: Path, key: str) -> None:
    loading.run(loading.loader.keep(prepared(loading, versions, "first")))
    [folder] = cache.glob("kept-*")
    change_manifest(folder, key, {"scikit_learn": "1.8", "format": 1}[key])
    folder.rename(folder.with_name(f"kept-{files.digest(folder)}"))

    assert loading.run(loading.loader.last_kept()) is None
    assert list(cache.glob("kept-*")) == []


def change_manifest(folder: Path, key: str, value: object) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_version_answers_as_the_version_does(loading: Loading, versions: Versions, kind: str) -> None:
    model = prepared(loading, versions, kind)

    packed = loading.run(loading.loader.pack(model))

    assert answers(loading.run(loading.loader.unpack(packed))) == answers(model)


def test_a_crash_of_a_copy_is_a_refusal(loading: Loading, versions: Versions) -> None:
    packed = loading.run(loading.loader.pack(prepared(loading, versions, "pipeline")))

    with loading.misbehaving("crash"), pytest.raises(ModelRefusedError, match="was killed by SIGSEGV"):
        loading.run(loading.loader.unpack(packed))


def test_a_version_that_is_too_large_for_a_message_is_not_packed(
    loading: Loading, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MAX_PACKED_BYTES", 1000)

    with pytest.raises(ModelRefusedError, match="too much for a message"):
        loading.run(loading.loader.pack(prepared(loading, versions, "first")))


def test_packed_bytes_of_another_version_are_refused(loading: Loading, versions: Versions) -> None:
    packed = loading.run(loading.loader.pack(prepared(loading, versions, "first")))

    with pytest.raises(ModelRefusedError, match="instead of"):
        loading.run(loading.loader.unpack(replace(packed, version=loading.version(versions.second))))


CHANGES = 300


@pytest.mark.parametrize("kind", ["first", "pipeline"])
def test_changed_bytes_are_refused(loading: Loading, versions: Versions, kind: str) -> None:
    packed = loading.run(loading.loader.pack(prepared(loading, versions, kind)))
    draw = np.random.default_rng(3)

    for index in range(CHANGES):
        content = bytearray(packed.content)
        if index % 3:
            content[draw.integers(0, len(content) if index % 2 else 200)] ^= int(draw.integers(1, 256))
        else:
            del content[draw.integers(0, len(content)) :]
        with pytest.raises(ModelRefusedError):
            loading.run(loading.loader.unpack(replace(packed, content=bytes(content))))


def test_arrays_with_a_right_digest_and_wrong_indices_are_refused(
    loading: Loading, versions: Versions, tmp_path: Path
) -> None:
    model = prepared(loading, versions, "first")
    assert model.files is not None
    draw, outcomes = np.random.default_rng(5), []

    for index in range(CHANGES):
        folder = tmp_path / str(index)
        packing.unpack(packing.pack(model.files.folder, label="m"), folder)
        path = folder / ["nodes.npy", "trees.npy", "model.json"][index % 3]
        content = bytearray(path.read_bytes())
        content[draw.integers(0, len(content))] = draw.integers(0, 256)
        path.write_bytes(content)
        packed = PackedModel(
            version=model.version, digest=files.digest(folder), content=packing.pack(folder, label="m")
        )
        try:
            answers(loading.run(loading.loader.unpack(packed)))
            outcomes.append("loaded")
        except ModelRefusedError:
            outcomes.append("refused")

    assert set(outcomes) == {"loaded", "refused"}
